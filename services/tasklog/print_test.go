package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestTextOfOthersCannotSpeakToTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		`plain "text" with \ and ü`:    `plain "text" with \ and ü`,
		"\x1b[2Jgone":                  `\x1b[2Jgone`,
		"two\nlines\r":                 `two\nlines\r`,
		"\u009b31m":                    `\u009b31m`,
		"\u202eright to left":          `\u202eright to left`,
		"he said \"no\"\x00":           `he said "no"\x00`,
		string([]byte{'a', 0xff, 'b'}): `a\xffb`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %s, want %s", in, got, want)
		}
	}
	if got := brief(strings.Repeat("ü", 5), 3); got != "üüü…" {
		t.Errorf("brief = %s, want three characters and …", got)
	}
}

func TestTextOfSeveralLinesIsIndentedSoThatNoneOfThemPassesForOurs(t *testing.T) {
	for in, want := range map[string]string{
		"one":                           "one",
		"one\n":                         "one",
		"":                              "",
		"a \x1b[2J\nb\tc\r\n\td":        "a \\x1b[2J\n    b\\tc\\r\n        d",
		"boom\n\nmain.f()\n\t/f.go:1\n": "boom\n\n    main.f()\n        /f.go:1",
	} {
		if got := lines(in); got != want {
			t.Errorf("lines(%q) = %q, want %q", in, got, want)
		}
	}
}

// Every variable that a flag stands for is in the table, and every line of the table says what it means.
func TestEverySettingIsInTheTable(t *testing.T) {
	root := newRoot(&program{settings: settings{}})
	listed := map[string]bool{}
	for _, v := range variables(root) {
		if listed[v.Name] {
			t.Errorf("%s is there twice", v.Name)
		}
		listed[v.Name] = true
		if v.Meaning == "" {
			t.Errorf("%s has no meaning: give its field a usage tag", v.Name)
		}
		if !strings.HasPrefix(v.Name, "TASKLOG_") {
			t.Errorf("%s does not begin with TASKLOG_", v.Name)
		}
	}
	check := func(f *pflag.Flag) {
		if v := f.Annotations[envOf]; len(v) == 1 && !listed[v[0]] {
			t.Errorf("flag --%s stands for %s, which no Config has", f.Name, v[0])
		}
	}
	root.PersistentFlags().VisitAll(check)
	for _, cmd := range root.Commands() {
		cmd.Flags().VisitAll(check)
	}
	cmds := 0
	for _, cmd := range root.Commands() {
		if cmd.Short == "" {
			t.Errorf("%s says nothing of itself", cmd.Name())
		}
		cmds++
	}
	if cmds < 18 {
		t.Errorf("%d commands, want 18 or more", cmds)
	}
}

func TestSettingsComeFromTheFlagThenTheVariable(t *testing.T) {
	s := parseEnviron([]string{"TASKLOG_DATA=from-env", "TASKLOG_REDIS_URL=redis://env", "A=b=c"})
	cmd := &cobra.Command{Use: "x"}
	setting(cmd.Flags(), "data", "TASKLOG_DATA", "a folder")
	setting(cmd.Flags(), "redis", "TASKLOG_REDIS_URL", "a URL")
	if err := cmd.Flags().Parse([]string{"--data", "from-flag"}); err != nil {
		t.Fatal(err)
	}
	s.overlay(cmd.Flags())
	got, err := load[config](s)
	want := config{Data: "from-flag", RedisURL: "redis://env"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("load = %+v, %v, want %+v", got, err, want)
	}
	if s["A"].value != "b=c" {
		t.Errorf("A = %q, want b=c", s["A"].value)
	}
}
