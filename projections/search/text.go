package search

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tasklog/tasklog/events"
)

// MaxText is how many bytes of a payload, and of an error, are searched: the first ones.
const MaxText = 2 << 10

// text is what is searched of a task that is asked for.
func text(id, name string, payload []byte) string {
	var b strings.Builder
	b.Grow(len(id) + len(name) + 2 + min(len(payload), MaxText))
	b.WriteString(id)
	b.WriteByte('\n')
	b.WriteString(name)
	if len(payload) > 0 {
		b.WriteByte('\n')
		plain(&b, payload)
	}
	return strings.ToLower(b.String())
}

// trouble is what an event says went wrong.
func trouble(data events.Data) (string, bool) {
	var s string
	switch d := data.(type) {
	case events.TaskFailed:
		s = d.Error
	case events.TaskCancelled:
		s = d.Reason
	case events.TaskRequested, events.TaskDue, events.TaskStarted, events.TaskCompleted, events.TaskReleased,
		events.TaskRetryRequested, events.QueuePaused, events.QueueResumed:
	}
	if s == "" {
		return "", false
	}
	return strings.ToLower(strings.Clone(s[:min(len(s), MaxText)])), true
}

// plain writes JSON as people look for it: without the white space between its parts, and with the characters
// that its escapes stand for. It writes at most MaxText bytes, and what is no JSON as it comes.
func plain(b *strings.Builder, data []byte) {
	quoted := false
	for end := b.Len() + MaxText; len(data) > 0 && b.Len() < end; {
		c := data[0]
		data = data[1:]
		switch {
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
		case c == '\\' && quoted && len(data) > 0:
			var r rune
			r, data = escaped(data)
			b.WriteRune(r)
		default:
			b.WriteByte(c)
		}
	}
}

// escaped returns the character that an escape stands for, of which data is what follows the backslash, and the
// rest. White space of any kind is a space.
func escaped(data []byte) (rune, []byte) {
	switch data[0] {
	case 'n', 't', 'r', 'b', 'f':
		return ' ', data[1:]
	case 'u':
		r, rest, ok := unit(data[1:])
		if !ok {
			return 'u', data[1:]
		}
		if utf16.IsSurrogate(r) && len(rest) > 2 && rest[0] == '\\' && rest[1] == 'u' {
			if low, after, ok := unit(rest[2:]); ok {
				if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
					return both, after
				}
			}
		}
		return r, rest
	default:
		r, n := utf8.DecodeRune(data)
		return r, data[n:]
	}
}

// unit reads four hexadecimal digits.
func unit(data []byte) (rune, []byte, bool) {
	if len(data) < 4 {
		return 0, nil, false
	}
	n, err := strconv.ParseUint(string(data[:4]), 16, 16)
	return rune(n), data[4:], err == nil
}
