package main

import (
	"slices"
	"strings"
	"testing"
)

func TestOnlyRelativeInstantsAreMadeArguments(t *testing.T) {
	for given, want := range map[string]string{
		"at -15m":                      "at now-15m",
		"at -7d queues --json":         "at now-7d queues --json",
		"at -1d12h":                    "at now-1d12h",
		"diff -1.5h -30m --queue mail": "diff now-1.5h now-30m --queue mail",
		"--prefix at diff -1h now":     "--prefix at diff now-1h now",
		"at -0s":                       "at now-0s",
		"at -7":                        "at now-7",
		"diff -7x --limit -1 now":      "diff now-7x --limit -1 now",
		"at --limit -5 now":            "at --limit -5 now",
		"enqueue at -15m":              "enqueue at -15m",
		"enqueue send --id at -1h":     "enqueue send --id at -1h",
		"task diff -1h":                "task diff -1h",
		"nonsense -15m at":             "nonsense -15m at",
		"":                             "",
	} {
		p := &program{settings: settings{}}
		if got := instants(newRoot(p), strings.Fields(given)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
}
