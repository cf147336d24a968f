package eventlog_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// scripts returns every script by name, the prelude too.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("*.lua")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	if len(all) < 12 {
		t.Fatalf("only %d scripts were found", len(all))
	}
	return all
}

// isPart reports that a .lua file is a part of scripts, and none itself.
func isPart(name string) bool { return name == "prelude.lua" || name == "gate.lua" }

// header returns the comment that a script begins with.
func header(script string) string {
	var lines []string
	for line := range strings.Lines(script) {
		if !strings.HasPrefix(line, "--") {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

func TestEveryScriptSaysWhatItTakesAndReturnsAndWhyItIsRepeatable(t *testing.T) {
	for name, script := range scripts(t) {
		if strings.Contains(script, "#!lua") {
			t.Errorf("%s has a shebang: the embedded Redis does not run it", name)
		}
		head := header(script)
		if !strings.HasPrefix(head, "-- "+name+": ") {
			t.Errorf("%s does not begin with its name", name)
		}
		if isPart(name) {
			continue
		}
		for _, part := range []string{"\n-- KEYS  1 ", "\n-- ARGV  1 ", "\n-- Returns ", "Repeatable: "} {
			if !strings.Contains(head, part) {
				t.Errorf("%s: its header says nothing of %q", name, strings.TrimSpace(part))
			}
		}
	}
}

var (
	call      = regexp.MustCompile(`redis\.p?call\('([A-Z]+)'(?:, '[A-Z]+')?(?:, ([^,)\n]+))?`)
	groupRead = regexp.MustCompile(`'XREADGROUP',.*'STREAMS'`) // what stands before its key
	keyNumber = regexp.MustCompile(`(\d+)(?: …)? ([^\d…(]+)`)
	aKey      = regexp.MustCompile(`^KEYS\[`)
	aKeyLocal = regexp.MustCompile(`local ([a-z, ]+) = [^\n]*KEYS\[[^\n]*`)
	tried     = regexp.MustCompile(`try\((\w+), KEYS\[[^\]]*\](, KEYS\[)?`)
	added     = regexp.MustCompile(`add\((\w+), (\w+)[,)]`)
	built     = regexp.MustCompile(`(?:KEYS\[[^\]]*\]\s*\.\.)|(?:'[a-z]+:'\s*\.\.)|(?:\.\.\s*':[a-z]+)`)
)

// keysOf returns what a script's header calls each of its keys, such as "1" → "task row".
func keysOf(script string) map[string]string {
	roles := map[string]string{}
	_, after, _ := strings.Cut(header(script), "-- KEYS")
	text, _, _ := strings.Cut(after, "-- ARGV")
	for _, m := range keyNumber.FindAllStringSubmatch(strings.ReplaceAll(text, "--", ""), -1) {
		roles[m[1]] = strings.TrimSpace(m[2])
	}
	return roles
}

func TestScriptsTouchOnlyTheKeysThatTheyAreGiven(t *testing.T) {
	calls := 0
	for name, script := range scripts(t) {
		given := map[string]bool{"log": name == "prelude.lua", "row": name == "prelude.lua"} // arguments of append and keep
		for _, m := range aKeyLocal.FindAllStringSubmatch(script, -1) {
			for word := range strings.SplitSeq(m[1], ",") {
				given[strings.TrimSpace(word)] = true
			}
		}
		for _, m := range tried.FindAllStringSubmatch(script, -1) { // a function that is given one or two keys
			_, after, _ := strings.Cut(script, "local function "+m[1]+"(")
			params := strings.Split(after, ", ")
			given[params[0]] = true
			given[params[1]] = m[2] != ""
		}
		for _, m := range added.FindAllStringSubmatch(script, -1) { // a list of keys
			given[m[1]] = given[m[2]]
		}
		for _, m := range call.FindAllStringSubmatch(groupRead.ReplaceAllString(script, `'XREADGROUP'`), -1) {
			command, key := m[1], strings.TrimPrefix(m[2], "unpack(")
			calls++
			if command == "TIME" || command == "PUBLISH" {
				continue
			}
			if !aKey.MatchString(key) && key != "KEYS" && !given[strings.TrimSuffix(key, ")")] {
				t.Errorf("%s: %s of %q, which is none of KEYS", name, command, key)
			}
		}
		if found := built.FindString(script); found != "" {
			t.Errorf("%s builds a key: %s", name, found)
		}
	}
	if calls < 60 {
		t.Errorf("only %d calls were found: this proves nothing", calls)
	}
}

// The log and the dispatch streams are never both deleted from and trimmed: Redis has lost whole
// nodes of streams where that was done.
func TestTheLogIsOnlyAppendedToAndTrimmedAndDispatchEntriesAreOnlyDeleted(t *testing.T) {
	allowed := map[string]string{
		"events":        " XADD XLEN XTRIM XREVRANGE XINFO XPENDING ",
		"due:<queue>":   " XADD XDEL XACK XLEN XRANGE XREVRANGE XPENDING XGROUP XREADGROUP ",
		"other streams": " ",
	}
	streams := 0
	for name, script := range scripts(t) {
		roles := keysOf(script)
		for _, m := range call.FindAllStringSubmatch(groupRead.ReplaceAllString(script, `'XREADGROUP'`), -1) {
			command, key := m[1], strings.Replace(m[2], "KEYS[k]", "KEYS[1]", 1) // of keys that are all alike
			if !strings.HasPrefix(command, "X") {
				continue
			}
			streams++
			role := "other streams"
			switch number := strings.TrimSuffix(strings.TrimPrefix(key, "KEYS["), "]"); {
			case name == "prelude.lua" && key == "log":
				role = "events"
			case allowed[roles[number]] != "":
				role = roles[number]
			}
			if !strings.Contains(allowed[role], " "+command+" ") {
				t.Errorf("%s: %s of %s, which is %q", name, command, key, roles[strings.Trim(key, "KEYS[]")])
			}
		}
	}
	if streams < 8 {
		t.Errorf("only %d calls on streams were found: this proves nothing", streams)
	}
}
