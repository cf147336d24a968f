package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTest  = regexp.MustCompile("`(Test[A-Z]\\w+)`")
	testItself = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

func TestEveryTestThatIsNamedExists(t *testing.T) {
	have := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range testItself.FindAllStringSubmatch(string(text), -1) {
			have[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, p := range readPages(t) {
		for _, m := range namedTest.FindAllStringSubmatch(p.text, -1) {
			if named++; !have[m[1]] {
				t.Errorf("%s names %s, and there is no such test", p.path, m[1])
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d tests are named: this proves nothing", named)
	}
}
