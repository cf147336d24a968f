// Package tokens says who may ask the API for what: a file of names, hashes and scopes, and the
// secrets that match them.
//
// The file is YAML, a line for each token, as New makes them:
//
//   - {name: shop, scopes: [submit], sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90}
//   - {name: prometheus, scopes: [read], sha256: 81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9}
//
// # Guarantees
//
// The file holds no secret, only its SHA-256: whoever reads it can ask for nothing. That a fast hash
// is enough follows from New, which takes 32 bytes of the system's randomness: there is nothing to
// guess. How long Find takes tells nothing about a secret.
package tokens

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/yamlfile"
)

// Scope is what a token may be used for. None includes another.
type Scope string

// The scopes.
const (
	Submit  Scope = "submit"  // ask for tasks
	Read    Scope = "read"    // see tasks, queues, events, the dashboard and the figures
	Operate Scope = "operate" // cancel and retry tasks, pause and resume queues
)

// Scopes are all of them.
var Scopes = []Scope{Submit, Read, Operate}

// ParseScopes reads the names of scopes. It wants one at least.
func ParseScopes(names []string) ([]Scope, error) {
	var list []Scope
	for _, name := range names {
		s := Scope(strings.TrimSpace(name))
		if !slices.Contains(Scopes, s) {
			return nil, &events.FieldError{Field: "scopes", Reason: fmt.Sprintf("%q is none of submit, read, operate", name)}
		}
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil, &events.FieldError{Field: "scopes", Reason: "there is none; known are submit, read, operate"}
	}
	return list, nil
}

// Token is one entry of the file.
type Token struct {
	Name   string
	Scopes []Scope
	sum    [sha256.Size]byte
}

// Allows reports whether a token has a scope.
func (t Token) Allows(s Scope) bool { return slices.Contains(t.Scopes, s) }

// SHA256 is the hash of the token's secret, in hex.
func (t Token) SHA256() string { return hex.EncodeToString(t.sum[:]) }

// Line is the line of a file that stands for a token.
func (t Token) Line() string {
	scopes := make([]string, len(t.Scopes))
	for i, s := range t.Scopes {
		scopes[i] = string(s)
	}
	return fmt.Sprintf("- {name: %q, scopes: [%s], sha256: %q}", t.Name, strings.Join(scopes, ", "), t.SHA256())
}

// secretPrefix tells programs that look for leaked secrets what they found.
const secretPrefix = "tasklog_"

// New makes a token and its secret, which nobody can find out again.
func New(name string, scopes []Scope) (secret string, t Token, err error) {
	if err := events.ValidateName("name", name); err != nil {
		return "", Token{}, err
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails: see its documentation
	secret = secretPrefix + base64.RawURLEncoding.EncodeToString(random)
	return secret, Token{Name: name, Scopes: scopes, sum: sha256.Sum256([]byte(secret))}, nil
}

// Set is the tokens of a file.
type Set struct{ tokens []Token }

// Load reads the tokens of a file. The error names the file and the place in it.
func Load(path string) (*Set, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	s, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("tokens %s: %w", path, err)
	}
	return s, nil
}

// entry is a token as the file has it.
type entry struct {
	Name   string   `yaml:"name"`
	Scopes []string `yaml:"scopes"`
	SHA256 string   `yaml:"sha256"`
}

// Parse reads tokens from YAML, one at least. No two have one name or one secret. The error tells of every token that
// is wrong.
func Parse(data []byte) (*Set, error) {
	var entries []entry
	if err := yamlfile.Decode(data, &entries); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("there is none: `tasklog token new` makes one")
	}
	nothing := sha256.Sum256(nil)
	s := &Set{}
	var wrong []error
	for i, e := range entries {
		t, err := e.token()
		if err == nil && slices.ContainsFunc(s.tokens, func(o Token) bool { return o.Name == t.Name || o.sum == t.sum }) {
			err = errors.New("its name or its sha256 is there twice")
		}
		if err == nil && t.sum == nothing {
			err = errors.New("its sha256 is that of an empty token: everybody would have it")
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("token %d: %w", i+1, err))
			continue
		}
		s.tokens = append(s.tokens, t)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return s, nil
}

func (e entry) token() (Token, error) {
	if err := events.ValidateName("name", e.Name); err != nil {
		return Token{}, err
	}
	scopes, err := ParseScopes(e.Scopes)
	if err != nil {
		return Token{}, err
	}
	sum, err := hex.DecodeString(e.SHA256)
	if err != nil || len(sum) != sha256.Size {
		return Token{}, &events.FieldError{Field: "sha256", Reason: "must be 64 hexadecimal digits"}
	}
	return Token{Name: e.Name, Scopes: scopes, sum: [sha256.Size]byte(sum)}, nil
}

// Find returns the token of a secret.
func (s *Set) Find(secret string) (Token, bool) {
	sum := sha256.Sum256([]byte(secret))
	found := -1
	for i := range s.tokens { // all of them, so that the time does not tell which
		if subtle.ConstantTimeCompare(s.tokens[i].sum[:], sum[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Token{}, false
	}
	return s.tokens[found], true
}

// Append adds a token to a file, which it makes if there is none: readable by its owner alone. It
// refuses a file that Parse would refuse afterwards.
func Append(path string, t Token) error {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("tokens: %w", err)
	}
	if have, err := Parse(data); err == nil && slices.ContainsFunc(have.tokens, func(o Token) bool { return o.Name == t.Name }) {
		return fmt.Errorf("tokens %s: %q is there already: choose another name, or take its line out of the file", path, t.Name)
	}
	var line string
	if n := len(data); n > 0 && data[n-1] != '\n' {
		line = "\n"
	}
	line += t.Line() + "\n"
	if _, err := Parse(append(data, line...)); err != nil {
		return fmt.Errorf("tokens %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}
