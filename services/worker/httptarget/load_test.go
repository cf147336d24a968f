package httptarget_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/services/worker/httptarget"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func env(name string) (string, bool) {
	v, ok := map[string]string{"MAIL_TOKEN": "tok", "MAIL_SECRET": "s3cret", "EMPTY": "", "EVIL": "a\r\nX: y"}[name]
	return v, ok
}

func TestTheExampleOfTheDocumentationLoads(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile(`(?s)//\tallow:[^\n]*\n//\ttargets:\n.*?\n//\n`).FindString(string(doc))
	example = strings.ReplaceAll(strings.ReplaceAll(example, "//\t", ""), "//\n", "")
	path := filepath.Join(t.TempDir(), "handlers.yaml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MAIL_TOKEN", "tok")
	t.Setenv("MAIL_SECRET", "s3cret")
	set, err := httptarget.Load(path)
	if err != nil {
		t.Fatalf("%v in\n%s", err, example)
	}
	var names []string
	for _, target := range set.Targets() {
		names = append(names, target.Name())
	}
	if got := strings.Join(names, " "); got != "* img.* sendEmail" {
		t.Errorf("targets %q", got)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "handlers.yaml")
	if _, err := httptarget.Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Load of a file that is missing = %v", err)
	}
	if err := os.WriteFile(path, []byte("targets: {a: {url: 'http://x', retries: 3}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := httptarget.Load(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "retries") {
		t.Errorf("Load = %v, want an error with the file and the key", err)
	}
}

func TestFilesWithMistakesAreRefusedAndTheMistakeIsNamed(t *testing.T) {
	for _, tt := range []struct{ yaml, want string }{
		{"", "targets: there is none"},
		{"targets: {}", "targets: there is none"},
		{"targets:\n  a:\n    url: http://x\n    uri: http://y\n", `line 4, column 5: unknown field "uri"`},
		{"target:\n  a:\n    url: http://x\n", `line 1, column 1: unknown field "target"`},
		{"targets:\n  a:\n    url: http://x\n  a:\n    url: http://y\n", `line 4, column 3: mapping key "a" already defined`},
		{"targets:\n  a: http://x\n", "line 2, column 6: "},
		{"targets: [a]\n", "line 1, column 10: "},
		{"targets:\n  a:\n url: x\n", "line 3, column "},
		{"targets: {a: {}}", `targets.a.url: scheme "" is neither http nor https`},
		{"targets: {a: {url: 'ftp://x'}}", `targets.a.url: scheme "ftp"`},
		{"targets: {a: {url: 'http:///x'}}", "targets.a.url: has no host"},
		{"targets: {a: {url: 'http://u:secret@x'}}", "targets.a.url: must not carry a user name"},
		{"targets: {a: {url: 'http://x#y'}}", "targets.a.url: must not have a fragment"},
		{"targets: {a: {url: 'http://x', timeout: 30}}", `targets.a.timeout: "30"`},
		{"targets: {a: {url: 'http://x', timeout: -1s}}", `targets.a.timeout: "-1s"`},
		{"targets: {a: {url: 'http://x', secret: ''}}", "targets.a.secret: is empty"},
		{"targets: {a: {url: 'http://x', secret: '${EMPTY}'}}", "targets.a.secret: is empty"},
		{"targets: {a: {url: 'http://x', secret: '${NOT_SET}'}}", "targets.a.secret: the environment variable NOT_SET is not set"},
		{"targets: {a: {url: 'http://x', secret: '${}'}}", "targets.a.secret: \"${}\" is not the name of a variable"},
		{"targets: {a: {url: 'http://x', secret: 'x${MAIL'}}", "targets.a.secret: \"${MAIL\" is not the name of a variable"},
		{"targets: {a: {url: 'http://x', headers: {X: '${NOT_SET}'}}}", "targets.a.headers.X: the environment variable NOT_SET"},
		{"targets: {a: {url: 'http://x', headers: {X: '${EVIL}'}}}", "targets.a.headers.X: has a control character"},
		{"targets: {a: {url: 'http://x', headers: {'X Y': z}}}", "targets.a.headers.X Y: is not the name of a header"},
		{"targets: {a: {url: 'http://x', headers: {tasklog-attempt: 1}}}", "targets.a.headers.tasklog-attempt: is set by the worker"},
		{"targets: {a: {url: 'http://x', headers: {traceparent: 1}}}", "is set by the worker"},
		{"targets: {a: {url: 'http://x', headers: {x-a: 1, X-A: 2}}}", "targets.a.headers.x-a: is there twice"},
		{"allow: [here]\ntargets: {a: {url: 'http://x'}}", `allow: "here" is neither a network`},
		{"targets: {a: {url: 'http://127.0.0.1:80/'}}", "targets.a.url: forbidden address: 127.0.0.1 is not of the public internet"},
		{"targets: {a: {url: 'http://LocalHost./'}}", "targets.a.url: forbidden address: 127.0.0.1"},
		{"targets: {a: {url: 'http://[::ffff:10.1.2.3]/'}}", "targets.a.url: forbidden address: 10.1.2.3"},
		{"allow: [0.0.0.0/0, '::/0']\ntargets: {a: {url: 'http://169.254.169.254/'}}", "targets.a.url: forbidden address: 169.254.169.254 can never be called"},
		{"targets: {'a{b': {url: 'http://x'}}", "targets.a{b: character"},
	} {
		_, err := httptarget.Parse([]byte(tt.yaml), env)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %v, want an error with %q", tt.yaml, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
}

func TestAllMistakesOfAFileAreToldAtOnce(t *testing.T) {
	_, err := httptarget.Parse([]byte(`
allow: [here]
targets:
  both:
    url: ftp://x
    headers: {B: "${NOT_SET}", A: "${EVIL}", C: fine}
    timeout: 30
    secret: ""
  good:
    url: http://10.0.0.1/
  list: [http://x]
  typo:
    uri: http://x
  'wr{ong':
    url: http://x
`), env)
	want := `allow: "here" is neither a network such as 10.0.0.0/8 nor an address
targets.both.url: scheme "ftp" is neither http nor https
targets.both.headers.A: has a control character in its value
targets.both.headers.B: the environment variable NOT_SET is not set
targets.both.timeout: "30" is no time to wait; want one such as 30s
targets.both.secret: is empty
targets.list: line 11, column 9: sequence was used where mapping is expected
targets.typo: line 13, column 5: unknown field "uri"
targets.wr{ong: character '{' is not allowed: no braces, no control characters`
	if err == nil || err.Error() != want {
		t.Errorf("Parse = %v\nwant\n%s", err, want)
	}
}

func TestTargetsMayShareWhatTheyHaveInCommon(t *testing.T) {
	set, err := httptarget.Parse([]byte(`
targets:
  a: &usual
    url: http://x/a
    headers: &token {X: y}
  b:
    url: http://x/b
    headers: *token
  c: *usual
`), env)
	if err != nil || len(set.Targets()) != 3 {
		t.Errorf("Parse = %v, %v, want three targets", set, err)
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	f.Add([]byte("targets:\n  a:\n    url: http://x\n    headers: {a: \"${MAIL_TOKEN}\"}\n    timeout: 3s\n"))
	f.Add([]byte("targets: {a: {url: '$${'}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("allow: ! 0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := httptarget.Parse(data, env)
		if (set == nil) == (err == nil) {
			t.Errorf("Parse = %v, %v", set, err)
		}
	})
}
