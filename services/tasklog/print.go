package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// print writes v as one line of JSON for programs, or lets human write for people.
func (p *program) print(v any, human func(w io.Writer)) error {
	if p.asJSON {
		return writeJSON(p.stdout, v)
	}
	var b strings.Builder
	human(&b)
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// say writes a line for people; human functions write to memory, which takes it all.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }

// many says how many there are of something that one noun names, or else another.
func many[N int | int64](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// newTable returns an aligned table without borders, which reads well on a terminal and in a pipe.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Name: "plain",
		Box:  table.BoxStyle{PaddingRight: "  ", PageSeparator: "\n"},
		Format: table.FormatOptions{
			Header: text.FormatUpper, HeaderAlign: text.AlignLeft,
		},
	})
	t.SuppressTrailingSpaces()
	t.AppendHeader(header)
	return t
}

// clean makes text that others wrote harmless for a terminal: what does not print is escaped.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// lines is clean for text that may have several lines, as a panic with its stack has: all but the first are
// indented, so that none passes for one of ours.
func lines(s string) string {
	list := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, line := range list {
		text := strings.TrimLeft(line, "\t")
		if list[i] = clean(text); i > 0 && text != "" {
			list[i] = strings.Repeat("    ", 1+len(line)-len(text)) + list[i]
		}
	}
	return strings.Join(list, "\n")
}

// brief is clean, and cut to about n characters.
func brief(s string, n int) string { return clean(cut(s, n)) }

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
