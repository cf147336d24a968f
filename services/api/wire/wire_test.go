package wire_test

import (
	"strings"
	"testing"

	"github.com/tasklog/tasklog/services/api/wire"
)

func TestBriefIsTheFirstLineAndNotAllOfALongOne(t *testing.T) {
	for said, want := range map[string]string{
		"":                              "",
		"no":                            "no",
		"\n boom\n\nmain.f()":           "boom…",
		strings.Repeat("é", 200):        strings.Repeat("é", 200),
		strings.Repeat("é", 201):        strings.Repeat("é", 200) + "…",
		strings.Repeat("é", 300) + "\n": strings.Repeat("é", 200) + "…",
	} {
		if got := wire.Brief(said); got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
	}
}
