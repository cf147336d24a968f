package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tasklog/tasklog/events"
)

// Decode reads a payload. One that does not fit P is a *Final that names the field.
func Decode[P any](payload json.RawMessage) (P, error) {
	var p P
	if len(payload) == 0 {
		payload = json.RawMessage("null")
	}
	err := json.Unmarshal(payload, &p)
	if err == nil {
		return p, nil
	}
	wrong := &events.FieldError{Field: "payload", Reason: err.Error()}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		wrong.Reason = fmt.Sprintf("a JSON %s does not fit into %s", mismatch.Value, mismatch.Type)
		if mismatch.Field != "" {
			wrong.Field += "." + mismatch.Field
		}
	}
	return p, &Final{wrong}
}

// encode writes a result. None is nil, not null.
func encode(result any) (json.RawMessage, error) {
	if result == nil {
		return nil, nil
	}
	data, err := events.Marshal(result)
	if err != nil {
		return nil, err
	}
	if events.Depth(data) > events.MaxDepth {
		return nil, fmt.Errorf("arrays and objects are nested deeper than %d", events.MaxDepth)
	}
	if len(data) > MaxResult {
		return nil, fmt.Errorf("%d bytes of JSON are more than %d: store it elsewhere and return where", len(data), MaxResult)
	}
	return data, nil
}

// ansi are the sequences with which programs colour a terminal: CSI, OSC, and the short ones.
var ansi = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])`)

const cut = " … (cut)"

// clean makes an error fit for the log: valid UTF-8, no terminal sequences, no control characters
// but line breaks and tabs, at most MaxText bytes.
func clean(s string) string {
	if len(s) > 16*MaxText {
		s = s[:16*MaxText] // escapes are short: this leaves enough
	}
	if strings.Contains(s, "\x1b") {
		s = ansi.ReplaceAllString(s, "")
	}
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= MaxText {
		return s
	}
	end := MaxText - len(cut)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + cut
}
