// Package yamlfile reads the YAML files of operators: strictly, and with errors that name the place.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// Decode reads YAML into a value. It takes no key that the value does not have; an empty file changes
// nothing. The error says line and column where it can. Nothing that data holds makes it panic.
func Decode(data []byte, into any) (err error) {
	defer func() { // the decoder panics at "! 0" where a list is wanted
		if v := recover(); v != nil {
			err = fmt.Errorf("is not the YAML that is wanted: %v", v)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	err = decoder.Decode(into)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		var more any
		if errors.Is(decoder.Decode(&more), io.EOF) {
			return nil
		}
		return errors.New("has more than one document: nothing behind --- or ... would be read")
	}
	return Placed(err)
}

// Placed is an error of the decoder, as a value's UnmarshalYAML gets it, in the form of those of Decode.
func Placed(err error) error {
	said := strings.TrimSpace(yaml.FormatError(err, false, false))
	return errors.New(place.ReplaceAllString(said, "line $1, column $2: "))
}

// place is how the decoder says where something is wrong.
var place = regexp.MustCompile(`^\[(\d+):(\d+)\] `)
