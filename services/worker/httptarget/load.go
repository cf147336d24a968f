package httptarget

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/webhook"
	"github.com/tasklog/tasklog/infra/yamlfile"
	"github.com/tasklog/tasklog/services/worker"
)

// MaxAnswer is how many bytes the body of an answer may have.
const MaxAnswer = 1 << 20

const defaultTimeout = time.Minute

// Set is the targets of a file.
type Set struct {
	targets []*Target
	client  *webhook.Client
}

// Load reads the targets of a YAML file, with the process's environment. The error names the file and
// the place in it.
func Load(path string) (*Set, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("handlers: %w", err)
	}
	s, err := Parse(data, os.LookupEnv)
	if err != nil {
		return nil, fmt.Errorf("handlers %s: %w", path, err)
	}
	return s, nil
}

// file is what a file says of the targets.
type file struct {
	Allow   []string         `yaml:"allow"`
	Targets map[string]entry `yaml:"targets"`
}

// wanted is the smallest file.
const wanted = "targets: {sendEmail: {url: https://example.com/}}, with a URL for each task name"

type entry struct {
	URL     string            `yaml:"url"`
	Headers map[string]string `yaml:"headers"`
	Timeout string            `yaml:"timeout"`
	Secret  *string           `yaml:"secret"`

	unread error // why it is not the YAML that is wanted
}

// UnmarshalYAML keeps what is wrong with one entry from hiding what is wrong with others.
func (e *entry) UnmarshalYAML(decode func(any) error) error {
	type plain entry
	e.unread = decode((*plain)(e))
	return nil
}

// Parse reads targets from YAML. env gives environment variables. The error tells all that is wrong, a line
// each: what of it is no YAML that is wanted with line and column, the rest as *events.FieldError, such as
// "targets.img.*.url: has no host".
func Parse(data []byte, env func(string) (string, bool)) (*Set, error) {
	var f file
	if err := yamlfile.Decode(data, &f); err != nil {
		return nil, fmt.Errorf("%w; want %s", err, wanted)
	}
	if len(f.Targets) == 0 {
		return nil, &events.FieldError{Field: "targets", Reason: "there is none; want " + wanted}
	}
	var wrong []error
	allow, err := webhook.ParseAllow(f.Allow)
	reachable := allow.CheckHost
	if err != nil {
		wrong = append(wrong, &events.FieldError{Field: "allow", Reason: err.Error()})
		reachable = func(string) error { return nil } // who knows
	}
	s := &Set{client: webhook.NewClient(MaxAnswer, allow)}
	for _, name := range slices.Sorted(maps.Keys(f.Targets)) {
		t, err := f.Targets[name].target(name, env, reachable)
		wrong = append(wrong, err)
		t.client = s.client
		s.targets = append(s.targets, t)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return s, nil
}

// target makes a target of an entry. The error tells all that is wrong with it.
func (e entry) target(name string, env func(string) (string, bool), reachable func(host string) error) (*Target, error) {
	at := "targets." + name
	t := &Target{name: name, header: http.Header{}, timeout: defaultTimeout}
	if e.unread != nil {
		return t, fmt.Errorf("%s: %w", at, yamlfile.Placed(e.unread))
	}
	wrong := []error{events.ValidateName(at, name)}
	check := func(key string, err error) {
		if err != nil {
			wrong = append(wrong, &events.FieldError{Field: at + "." + key, Reason: err.Error()})
		}
	}
	var err error
	t.url, err = expand(e.URL, env)
	if err == nil {
		err = checkURL(t.url, reachable)
	}
	check("url", err)
	for _, k := range slices.Sorted(maps.Keys(e.Headers)) {
		canonical := http.CanonicalHeaderKey(k)
		v, err := expand(e.Headers[k], env)
		if err == nil {
			err = checkHeader(k, v)
		}
		if err == nil && t.header.Get(canonical) != "" {
			err = errors.New("is there twice")
		}
		check("headers."+k, err)
		t.header.Set(canonical, v)
	}
	if e.Timeout != "" {
		if t.timeout, err = time.ParseDuration(e.Timeout); err != nil || t.timeout <= 0 {
			check("timeout", fmt.Errorf("%q is no time to wait; want one such as 30s", e.Timeout))
		}
	}
	if e.Secret != nil {
		t.secret, err = expand(*e.Secret, env)
		if err == nil && t.secret == "" {
			err = errors.New("is empty")
		}
		check("secret", err)
	}
	return t, errors.Join(wrong...)
}

func checkURL(at string, reachable func(host string) error) error {
	u, err := webhook.ParseURL(at)
	if err != nil {
		return err
	}
	return reachable(u.Hostname())
}

// variable matches ${NAME}, and $${ before it.
var variable = regexp.MustCompile(`\$?\$\{[^}]*\}?`)

// envName matches the name of an environment variable.
var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} by variables of the environment. It fails for one that is not set: empty
// headers and secrets would be found out late.
func expand(s string, env func(string) (string, bool)) (string, error) {
	var failed error
	s = variable.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, "$${") {
			return m[1:]
		}
		name, closed := strings.CutSuffix(m[2:], "}")
		if !closed || !envName.MatchString(name) {
			failed = fmt.Errorf("%q is not the name of a variable: write ${NAME}, or $${ for a plain ${", m)
			return ""
		}
		v, set := env(name)
		if !set {
			failed = fmt.Errorf("the environment variable %s is not set", name)
		}
		return v
	})
	return s, failed
}

// token matches the name of a header, RFC 9110 section 5.6.2.
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// ours are headers that say what only we know, or how the connection works.
var ours = []string{
	"Idempotency-Key", "Traceparent", "Content-Length", "Transfer-Encoding", "Connection", "Te", "Trailer", "Upgrade",
}

func checkHeader(name, value string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !token.MatchString(name):
		return errors.New("is not the name of a header")
	case slices.Contains(ours, canonical) || strings.HasPrefix(canonical, "Tasklog-"):
		return errors.New("is set by the worker")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return errors.New("has a control character in its value")
	}
	return nil
}

// Register makes the targets the handlers of their names and patterns. It panics as
// worker.Worker.HandlePattern does: when one of them has a handler, or after Run was called.
func (s *Set) Register(w *worker.Worker) {
	for _, t := range s.targets {
		w.HandlePattern(t.name, t.Handle)
	}
}

// Targets returns the targets, by name.
func (s *Set) Targets() []*Target { return s.targets }

// Close closes connections that nobody uses.
func (s *Set) Close() { s.client.Close() }
