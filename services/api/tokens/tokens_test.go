package tokens_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/services/api/tokens"
)

const hash = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"

func TestATokenIsFoundByItsSecretAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.yml")
	secrets := map[string]string{}
	for _, name := range []string{"shop", "täst: #", "ops"} {
		secret, token, err := tokens.New(name, []tokens.Scope{tokens.Submit, tokens.Read})
		if err != nil {
			t.Fatal(err)
		}
		if err := tokens.Append(path, token); err != nil {
			t.Fatal(err)
		}
		secrets[name] = secret
	}
	set, err := tokens.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range secrets {
		got, ok := set.Find(secret)
		if !ok || got.Name != name || !got.Allows(tokens.Submit) || !got.Allows(tokens.Read) || got.Allows(tokens.Operate) {
			t.Errorf("Find = %+v, %t, want %s, which may submit and read", got, ok, name)
		}
		sum := sha256.Sum256([]byte(secret))
		if strings.Contains(string(file), secret) || !strings.Contains(string(file), hex.EncodeToString(sum[:])) {
			t.Errorf("the file holds the secret, or not its hash:\n%s", file)
		}
		if !regexp.MustCompile(`^tasklog_[A-Za-z0-9_-]{43}$`).MatchString(secret) {
			t.Errorf("secret %q has not 32 bytes of randomness", secret)
		}
		for _, wrong := range []string{"", secret[:len(secret)-1], secret + "x", strings.ToUpper(secret), got.SHA256()} {
			if got, ok := set.Find(wrong); ok || got.Name != "" {
				t.Errorf("Find(%q) = %+v", wrong, got)
			}
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAppendSpoilsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.yml")
	_, token, err := tokens.New("shop", []tokens.Scope{tokens.Read})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("# ours\n- {name: old, scopes: [read], sha256: "+hash+"}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tokens.Append(path, token); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := tokens.Append(path, token); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("Append of a name that is there = %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("a refused token changed the file: %v", err)
	}
	if _, err := tokens.Load(path); err != nil {
		t.Error(err)
	}
	if _, _, err := tokens.New("a\nb", nil); err == nil {
		t.Error("a name with a line break is taken")
	}
}

func TestFilesWithMistakesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "there is none",
		"# nothing\n":                    "there is none",
		"tokens: []\n":                   "line 1, column ",
		"- {name: a}\n":                  "token 1: scopes: there is none",
		"- {name: a, scopes: [write]}\n": `token 1: scopes: "write" is none of`,
		"- {name: a, scopes: [read], sha256: abc}\n":                                                                              "token 1: sha256: must be 64",
		"- {name: a, scopes: [read], sha256: '" + strings.Repeat("zz", 32) + "'}\n":                                               "token 1: sha256: must be 64",
		"- {name: a, scopes: [read], sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}\n":                 "token 1: its sha256 is that of an empty token",
		"- {scopes: [read], sha256: " + hash + "}\n":                                                                              "token 1: name: ",
		"- {name: a, scopes: [read], sha256: " + hash + ", secret: x}\n":                                                          `unknown field "secret"`,
		"- {name: a, scopes: [read], sha256: " + hash + "}\n- {name: b, scopes: [read], sha256: " + strings.ToUpper(hash) + "}\n": "token 2: its name or its sha256 is there twice",
	} {
		if _, err := tokens.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, want an error with %q", text, err, want)
		}
	}
	two := "- {name: a, scopes: [write], sha256: " + hash + "}\n- {name: b, scopes: [read], sha256: " + hash + "}\n- {name: b, scopes: [read]}\n"
	if _, err := tokens.Parse([]byte(two)); err == nil || !regexp.MustCompile(`^token 1: .*\ntoken 3: `).MatchString(err.Error()) {
		t.Errorf("two that are wrong: %v", err)
	}
	if _, err := tokens.Load(filepath.Join(t.TempDir(), "none.yml")); err == nil || !strings.Contains(err.Error(), "none.yml") {
		t.Errorf("Load of a file that is missing = %v", err)
	}
}

func FuzzParseFindsNoTokenForNothing(f *testing.F) {
	f.Add([]byte("- {name: a, scopes: [read, submit], sha256: "+hash+"}\n"), "secret")
	f.Add([]byte("- name: \"\"\n  sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"), "")
	f.Add([]byte("- &a [*a]"), "tasklog_")
	f.Fuzz(func(t *testing.T, data []byte, secret string) {
		set, err := tokens.Parse(data)
		if (set == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", set, err)
		}
		if err != nil {
			return
		}
		sum := sha256.Sum256([]byte(secret))
		if _, ok := set.Find(secret); ok && !strings.Contains(strings.ToLower(string(data)), hex.EncodeToString(sum[:])) {
			t.Errorf("%q is found in %q", secret, data)
		}
	})
}
