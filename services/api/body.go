package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tasklog/tasklog/events"
)

const (
	maxFaults   = 20       // that a problem lists
	maxEnvelope = 64 << 10 // bytes of a body beyond its payload
	maxQuoted   = 100      // bytes of a name in an error
)

// readObject returns the body of a request, which is one JSON object in valid UTF-8 of bounded size
// and depth, or nil when there is none.
func readObject(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := readBody(w, r, limit)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	if _, err := media(r.Header, "application/json"); err != nil {
		return nil, err
	}
	return object("the body", body)
}

// readBody returns the body of a request, of bounded size.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, unread(err)
	}
	return body, nil
}

// unread is why a body could not be read.
func unread(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return newProblem(http.StatusRequestTimeout, "too-slow", "The request took too long", "the body did not arrive in time")
	}
	return malformed("the body did not arrive in full")
}

// object returns what is one JSON object in valid UTF-8 of bounded depth, without spaces around it. what
// names it in errors.
func object(what string, text []byte) ([]byte, error) {
	if err := valid(what, text); err != nil {
		return nil, err
	}
	value := bytes.TrimSpace(text)
	if events.Depth(value) > events.MaxDepth {
		return nil, malformed(fmt.Sprintf("arrays and objects are nested deeper than %d", events.MaxDepth))
	}
	if value[0] != '{' {
		return nil, malformed(what + " must be a JSON object")
	}
	return value, nil
}

// valid returns what is wrong with text that should be JSON in UTF-8.
func valid(what string, text []byte) error {
	if !utf8.Valid(text) {
		return malformed(what + " is not valid UTF-8")
	}
	if json.Valid(text) {
		return nil
	}
	err := json.Unmarshal(text, new(json.RawMessage))
	detail := fmt.Sprintf("%s is not JSON: %v", what, err)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		detail = fmt.Sprintf("%s is not JSON: byte %d: %s", what, syntax.Offset, syntax.Error())
	}
	return malformed(detail)
}

// media returns which of these types a body has, and refuses it when it has another one: a form of another
// site's page must not pass for JSON.
func media(h http.Header, types ...string) (string, error) {
	unsupported := func(detail string) error {
		return newProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "The body must be JSON", detail)
	}
	if h.Get("Content-Encoding") != "" {
		return "", unsupported("a Content-Encoding is not supported")
	}
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || !slices.Contains(types, mediaType) {
		return "", unsupported("want Content-Type: " + strings.Join(types, " or "))
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "", unsupported("want charset=utf-8")
	}
	return mediaType, nil
}

// faults collects what is wrong with the fields of a request.
type faults struct{ list invalid }

// add takes a *events.FieldError, the first one of each field, or nil.
func (f *faults) add(err error) {
	e, ok := errors.AsType[*events.FieldError](err)
	if !ok || len(f.list) == maxFaults || slices.ContainsFunc(f.list, func(k *events.FieldError) bool { return k.Field == e.Field }) {
		return
	}
	f.list = append(f.list, e)
}

func (f *faults) addf(field, format string, args ...any) {
	f.add(&events.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)})
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return f.list
}

// decode reads a JSON object into targets, by name. prefix stands before the names in errors. It
// takes no unknown name, no name twice, and no null but for a json.RawMessage, which gets the bytes
// of its value as they are.
func (f *faults) decode(prefix string, object []byte, targets map[string]any) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		f.addf(strings.TrimSuffix(prefix, "."), "must be a JSON object")
		return
	}
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		name, _ := t.(string)
		var value json.RawMessage
		if err == nil {
			err = dec.Decode(&value)
		}
		if err != nil {
			f.addf(strings.TrimSuffix(prefix, "."), "must be a JSON object") // not reached: it was valid
			return
		}
		target, known := targets[name]
		field := prefix + quoted(name)
		switch {
		case len(targets) == 0:
			f.addf(field, "is unknown: nothing is taken here")
		case !known:
			f.addf(field, "is unknown; known are: %s", strings.Join(slices.Sorted(maps.Keys(targets)), ", "))
		case seen[name]:
			f.addf(field, "is there twice")
		default:
			f.set(field, target, value)
		}
		if known {
			seen[name] = true
		}
	}
}

// set reads one JSON value into a target.
func (f *faults) set(field string, target any, value json.RawMessage) {
	var want string
	switch t := target.(type) {
	case *json.RawMessage:
		*t = value
		return
	case func(field string, value []byte):
		t(field, value)
		return
	case *string, **string:
		want = "a string"
	case *int, *int64, **int64:
		want = "a whole number"
	case *bool:
		want = "true or false"
	case **float64:
		want = "a number"
	case **time.Time:
		want = "a time such as 2026-01-31T08:30:00Z (RFC 3339)"
	}
	if string(value) == "null" || json.Unmarshal(value, target) != nil {
		f.addf(field, "must be %s", want)
		return
	}
	// encoding/json puts U+FFFD for half of a surrogate pair: two names would become one.
	var text string
	switch t := target.(type) {
	case *string:
		text = *t
	case **string:
		text = **t
	}
	if strings.ContainsRune(text, utf8.RuneError) {
		f.addf(field, "is not valid Unicode")
	}
}

// quoted shortens a name that a client made up.
func quoted(name string) string {
	if len(name) <= maxQuoted {
		return name
	}
	return strings.ToValidUTF8(name[:maxQuoted], "") + "…"
}
