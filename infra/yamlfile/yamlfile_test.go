package yamlfile_test

import (
	"strings"
	"testing"

	"github.com/tasklog/tasklog/infra/yamlfile"
)

type file struct {
	Name string         `yaml:"name"`
	List []string       `yaml:"list"`
	Map  map[string]int `yaml:"map"`
}

func TestDecodeTakesWhatItKnowsAndNamesThePlaceOfTheRest(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "# nothing\n": "", "name: a\nlist: [b]\nmap: {c: 1}\n": "",
		"name: a\nother: b\n":   `line 2, column 1: unknown field "other"`,
		"name: a\nname: b\n":    `line 2, column 1: mapping key "name" already defined`,
		"list: a\n":             "line 1, column ",
		"map: {a: b}\n":         "line 1, column ",
		"list: ! 0\n":           "is not the YAML that is wanted",
		"name: [\n":             "line 1, column ",
		"- a\n":                 "line 1, column ",
		"name: a\n---\nx: y\n":  "more than one document",
		"a: &a [*a]\n":          "line 1, column ",
		strings.Repeat("[", 99): "line 1, column ",
	} {
		var f file
		err := yamlfile.Decode([]byte(text), &f)
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Decode(%q) = %v, want an error with %q", text, err, want)
		}
		if want == "" && err != nil {
			t.Errorf("Decode(%q) = %v", text, err)
		}
	}
}

func FuzzDecodeNeverPanics(f *testing.F) {
	for _, text := range []string{"name: a\nlist: [b]\nmap: {c: 1}\n", "list: ! 0", "map: ! 0", "! 0", "a: &a [*a]", "<<: *x", "? a\n: b\n", "%YAML 9\n---\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		var v file
		_ = yamlfile.Decode(data, &v) // an error is as good as none: it must return
		var list []file
		_ = yamlfile.Decode(data, &list) // as above
	})
}
