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
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, tooLarge
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, newProblem(http.StatusRequestTimeout, "too-slow", "The request took too long", "the body did not arrive in time")
		}
		return nil, malformed("the body did not arrive in full")
	}
	if len(body) == 0 {
		return nil, nil
	}
	if err := requireJSON(r.Header); err != nil {
		return nil, err
	}
	if !utf8.Valid(body) {
		return nil, malformed("the body is not valid UTF-8")
	}
	var value json.RawMessage
	if err := json.Unmarshal(body, &value); err != nil {
		detail := "the body is not JSON: " + err.Error()
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			detail = fmt.Sprintf("the body is not JSON: byte %d: %s", syntax.Offset, syntax.Error())
		}
		return nil, malformed(detail)
	}
	if events.Depth(value) > events.MaxDepth {
		return nil, malformed(fmt.Sprintf("arrays and objects are nested deeper than %d", events.MaxDepth))
	}
	if value[0] != '{' { // no space stands before a RawMessage
		return nil, malformed("the body must be a JSON object")
	}
	return value, nil
}

// requireJSON refuses a body of another type: a form of another site's page must not pass for JSON.
func requireJSON(h http.Header) error {
	unsupported := func(detail string) error {
		return newProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "The body must be JSON", detail)
	}
	if h.Get("Content-Encoding") != "" {
		return unsupported("a Content-Encoding is not supported")
	}
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return unsupported("want Content-Type: application/json")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return unsupported("want charset=utf-8")
	}
	return nil
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
