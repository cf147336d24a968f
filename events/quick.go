package events

import "strings"

// quick reads a body as this program writes it: members in the order of the struct, no blanks, texts of plain ASCII
// without escapes. Whatever else there may be in the log is read by unmarshal, with the same result, and ok is false
// here. Nothing that it returns holds on to data.
func quick(typ Type, data string) (d Data, ok bool) {
	if data == "" || data[0] != '{' {
		return nil, false
	}
	s := scanner{data: data, at: 1, first: true}
	switch typ {
	case TypeTaskRequested:
		d = TaskRequested{Label: s.label(), Definition: s.definition(), DueAt: s.number("dueAt"), DelayMs: s.number("delayMs")}
	case TypeTaskDue:
		d = TaskDue{
			Label: s.label(), Attempt: int(s.number("attempt")), Priority: int(s.number("priority")), DueAt: s.number("dueAt"),
			From: State(s.text("from")),
		}
	case TypeTaskStarted:
		d = TaskStarted{
			Label: s.label(), Attempt: int(s.number("attempt")), Worker: s.text("worker"), Token: s.text("token"),
			WaitMs: s.number("waitMs"),
		}
	case TypeTaskCompleted:
		d = TaskCompleted{
			Label: s.label(), Attempt: int(s.number("attempt")), Worker: s.text("worker"), RunMs: s.number("runMs"),
			Result: s.value("result"),
		}
	case TypeTaskFailed:
		d = TaskFailed{
			Label: s.label(), Attempt: int(s.number("attempt")), Worker: s.text("worker"), RunMs: s.number("runMs"),
			Error: s.text("error"), Reason: Reason(s.text("reason")), RetryAt: s.number("retryAt"),
		}
	default:
		return nil, false
	}
	return d, s.end()
}

// scanner reads the members of an object, each if it is the next one.
type scanner struct {
	data  string
	at    int
	first bool // no member was read yet
	bad   bool // it is not what quick reads
}

// end reports whether the object, and the text, ends here.
func (s *scanner) end() bool { return !s.bad && s.data[s.at:] == "}" }

// member goes to the value of a member, if that is the next one.
func (s *scanner) member(name string) bool {
	rest := s.data[s.at:]
	if !s.first {
		if rest == "" || rest[0] != ',' {
			return false
		}
		rest = rest[1:]
	}
	n := len(name)
	if len(rest) < n+3 || rest[0] != '"' || rest[1:n+1] != name || rest[n+1] != '"' || rest[n+2] != ':' {
		return false
	}
	s.at, s.first = len(s.data)-len(rest)+n+3, false
	return true
}

func (s *scanner) label() Label { return Label{Queue: s.text("queue"), Name: s.text("name")} }

func (s *scanner) definition() Definition {
	return Definition{
		Payload: s.value("payload"), Priority: int(s.number("priority")), MaxAttempts: int(s.number("maxAttempts")),
		Backoff: s.backoff(), TimeoutMs: s.number("timeoutMs"), Traceparent: s.text("traceparent"), RequestID: s.text("requestId"),
	}
}

func (s *scanner) backoff() (b Backoff) {
	if !s.member("backoff") {
		return b
	}
	if !s.skip('{') {
		return b
	}
	s.first = true
	b = Backoff{Type: s.text("type"), DelayMs: s.number("delayMs"), MaxDelayMs: s.number("maxDelayMs")}
	s.first = false
	s.skip('}') // a jitter is there too seldom
	return b
}

// skip goes over a character.
func (s *scanner) skip(c byte) bool {
	if s.at >= len(s.data) || s.data[s.at] != c {
		s.bad = true
		return false
	}
	s.at++
	return true
}

// text reads a member that is a string.
func (s *scanner) text(name string) string {
	if !s.member(name) || !s.skip('"') {
		return ""
	}
	from := s.at
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return strings.Clone(s.data[from : s.at-1])
		case c < ' ' || c >= 0x80 || c == '\\':
			s.bad = true
			return ""
		}
	}
	s.bad = true
	return ""
}

// number reads a member that is a whole number, and not below zero.
func (s *scanner) number(name string) (n int64) {
	if !s.member(name) {
		return 0
	}
	from := s.at
	for ; s.at < len(s.data) && digit(s.data[s.at]); s.at++ {
		n = 10*n + int64(s.data[s.at]-'0')
	}
	if length := s.at - from; length == 0 || length > 18 || length > 1 && s.data[from] == '0' {
		s.bad = true
	}
	return n
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// maxNested is how deep what quick reads may be.
const maxNested = 50

// value reads a member that is any JSON.
func (s *scanner) value(name string) []byte {
	if !s.member(name) {
		return nil
	}
	from := s.at
	s.any(0)
	if s.bad {
		return nil
	}
	return []byte(s.data[from:s.at])
}

// any goes over a value.
func (s *scanner) any(depth int) {
	if s.at >= len(s.data) || depth > maxNested {
		s.bad = true
		return
	}
	switch c := s.data[s.at]; {
	case c == '{':
		s.list('}', func() { s.quoted(); s.skip(':'); s.any(depth + 1) })
	case c == '[':
		s.list(']', func() { s.any(depth + 1) })
	case c == '"':
		s.quoted()
	case c == '-' || digit(c):
		s.decimal()
	default:
		for _, word := range [...]string{"null", "true", "false"} {
			if strings.HasPrefix(s.data[s.at:], word) {
				s.at += len(word)
				return
			}
		}
		s.bad = true
	}
}

// list goes over an object or an array: items between commas.
func (s *scanner) list(end byte, item func()) {
	s.at++
	if s.at < len(s.data) && s.data[s.at] == end {
		s.at++
		return
	}
	for !s.bad {
		item()
		if s.at >= len(s.data) || s.data[s.at] != ',' {
			s.skip(end)
			return
		}
		s.at++
	}
}

// quoted goes over a string, the simple escapes in it, too.
func (s *scanner) quoted() {
	if !s.skip('"') {
		return
	}
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return
		case c == '\\':
			s.at++
			if s.at >= len(s.data) || strings.IndexByte(`"\/bfnrt`, s.data[s.at]) < 0 {
				s.bad = true
				return
			}
		case c < ' ' || c >= 0x80:
			s.bad = true
			return
		}
	}
	s.bad = true
}

// decimal goes over a number.
func (s *scanner) decimal() {
	if s.data[s.at] == '-' {
		s.at++
	}
	zero := s.at < len(s.data) && s.data[s.at] == '0'
	if n := s.digits(); zero && n > 1 {
		s.bad = true
	}
	if s.at < len(s.data) && s.data[s.at] == '.' {
		s.at++
		s.digits()
	}
	if s.at < len(s.data) && (s.data[s.at] == 'e' || s.data[s.at] == 'E') {
		s.at++
		if s.at < len(s.data) && (s.data[s.at] == '+' || s.data[s.at] == '-') {
			s.at++
		}
		s.digits()
	}
}

// digits goes over one digit or more.
func (s *scanner) digits() int {
	from := s.at
	for s.at < len(s.data) && digit(s.data[s.at]) {
		s.at++
	}
	if s.at == from {
		s.bad = true
	}
	return s.at - from
}
