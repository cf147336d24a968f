package policy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A folder is what is known of a package.
type folder struct {
	starts []string // files that start a goroutine
	tested bool     // its tests fail when one is left
}

// starts reports whether code begins something that goes on beside it: by a go statement, or by a
// method such as WaitGroup's.
func starts(file *ast.File) (found bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = true
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Go" {
				found = true
			}
		}
		return !found
	})
	return found
}

// checks reports whether a file calls goleak for all tests of its package.
func checks(file *ast.File) (found bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.SelectorExpr); ok {
			of, ok := f.X.(*ast.Ident)
			found = ok && of.Name == "goleak" && (f.Sel.Name == "VerifyTestMain" || f.Sel.Name == "Find")
		}
		return !found
	})
	return found
}

func TestEveryPackageThatStartsGoroutinesFailsWhenOneIsLeft(t *testing.T) {
	all := map[string]*folder{}
	for _, top := range []string{"events", "projections", "services", "infra"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(path string, d fs.DirEntry, err error) error {
			if _, no := os.Stat(filepath.Join(path, "go.mod")); err == nil && d.IsDir() && no == nil {
				return filepath.SkipDir // a module of its own, with tests of its own
			}
			if err != nil || !strings.HasSuffix(path, ".go") || slices.Contains(strings.Split(path, "/"), "testdata") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			dir := filepath.Dir(path)
			if all[dir] == nil {
				all[dir] = &folder{}
			}
			if starts(file) {
				all[dir].starts = append(all[dir].starts, filepath.Base(path))
			}
			if strings.HasSuffix(path, "_test.go") && checks(file) {
				all[dir].tested = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	begin := 0
	for dir, f := range all {
		if len(f.starts) == 0 {
			continue
		}
		if begin++; !f.tested {
			t.Errorf("%s starts goroutines (%s), and no test of it would see one that is left: want goleak.VerifyTestMain",
				strings.TrimPrefix(dir, "../../"), strings.Join(f.starts, ", "))
		}
	}
	if begin < 10 {
		t.Errorf("only %d packages start any: this proves nothing", begin)
	}
}
