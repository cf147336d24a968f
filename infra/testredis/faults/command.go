package faults

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Command is what a client sent: its name and arguments.
type Command struct {
	Words  []string
	Script string // file name of the script that it calls, if the proxy has seen the source; else ""
}

// Is reports whether it is one of these commands.
func (c Command) Is(names ...string) bool {
	for _, name := range names {
		if len(c.Words) > 0 && strings.EqualFold(c.Words[0], name) {
			return true
		}
	}
	return false
}

// Calls reports whether it calls a script.
func (c Command) Calls() bool { return c.Is("eval", "evalsha") }

// Keys are those of a script call.
func (c Command) Keys() []string {
	if !c.Calls() || len(c.Words) < 3 {
		return nil
	}
	n, err := strconv.Atoi(c.Words[2])
	if err != nil || n < 0 || n > len(c.Words)-3 {
		return nil
	}
	return c.Words[3 : 3+n]
}

// Script returns a condition of a Fault: the command calls the script of this file name.
func Script(name string) func(Command) bool {
	return func(c Command) bool { return c.Script == name }
}

// Named returns a condition of a Fault: the command has one of these names.
func Named(names ...string) func(Command) bool {
	return func(c Command) bool { return c.Is(names...) }
}

// subscribes reports whether the connection is no longer one of questions and answers after it.
func (c Command) subscribes() bool { return c.Is("subscribe", "psubscribe", "ssubscribe", "monitor") }

// parse takes the words of a command apart. What is no array of strings has none.
func parse(raw []byte) (c Command) {
	r := bufio.NewReader(bytes.NewReader(raw))
	line, err := r.ReadBytes('\n')
	if err != nil || line[0] != '*' {
		return c
	}
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return c
		}
		word := make([]byte, length(line))
		if _, err := io.ReadFull(r, word); err != nil {
			return c
		}
		c.Words = append(c.Words, string(word))
		if _, err := r.Discard(len("\r\n")); err != nil {
			return c
		}
	}
}

// length is the number in a line such as "$12\r\n". Of what has none it is not used.
func length(line []byte) int {
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	return n
}

// readValue returns one command or reply, as it was sent.
func readValue(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n := length(line)
	switch line[0] {
	case '+', '-', ':':
		return line, nil
	case '$':
		if n < 0 {
			return line, nil
		}
		body := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(r, body)
		return append(line, body...), err
	case '*':
		for range n {
			item, err := readValue(r)
			if err != nil {
				return nil, err
			}
			line = append(line, item...)
		}
		return line, nil
	}
	return nil, fmt.Errorf("what is %q?", line)
}
