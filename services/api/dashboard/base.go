package dashboard

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Base is what every page shows.
type Base struct {
	Now    time.Time // by Redis' clock: ages are told from it. Zero when it is not known
	URL    *url.URL  // of the page: its path and its query
	Origin string    // scheme and host, as the client named us, for the commands to copy
	Tokens bool      // whether the API wants tokens
}

// NoticePage says why there is nothing else to see.
type NoticePage struct {
	Base
	Title, Detail string
}

func (NoticePage) template() string { return "notice" }

// Is reports whether the page lies at a path or below it.
func (b Base) Is(path string) bool {
	return b.URL != nil && (b.URL.Path == path || strings.HasPrefix(b.URL.Path, path+"/"))
}

// With returns a link to this page with some parameters set, and those dropped whose value is empty.
// A list begins anew: its cursor is dropped.
func (b Base) With(pairs ...string) string {
	path, q := "", url.Values{}
	if b.URL != nil {
		path, q = b.URL.EscapedPath(), b.URL.Query()
	}
	q.Del("cursor")
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// Curl is a request of the API as a line for the shell.
func (b Base) Curl(method, path string) string {
	line := []string{"curl"}
	switch method {
	case "GET":
	case "STREAM":
		line = append(line, "-N")
	default:
		line = append(line, "-X", method)
	}
	if b.Tokens {
		line = append(line, "-H", `"Authorization: Bearer $TASKLOG_TOKEN"`)
	}
	return strings.Join(append(line, shell(b.Origin+path)), " ")
}

// Age tells how long before now a time in ms was, in one unit.
func (b Base) Age(ms int64) string {
	if b.Now.IsZero() || ms == 0 {
		return ""
	}
	d := b.Now.Sub(time.UnixMilli(ms))
	switch {
	case d.Abs() < time.Second:
		return "now"
	case d < 0:
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

// span tells a duration in one unit.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	case d < 10*time.Second && d%time.Second >= 100*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9._:/@+][A-Za-z0-9._:/@+-]*$`)

// shell quotes an argument of a command that a person will paste.
func shell(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	quoted := "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	if strings.HasPrefix(s, "-") {
		return "-- " + quoted
	}
	return quoted
}
