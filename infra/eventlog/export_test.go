package eventlog

import "time"

// SetRepeats makes decisions ask again after these times, until undo is called.
func SetRepeats(after ...time.Duration) (undo func()) {
	before := repeats
	repeats = after
	return func() { repeats = before }
}

// ParseEntries decodes a reply of XRANGE as Redis sends it.
var ParseEntries = parseEntries

// EntriesOf decodes a reply of XRANGE as go-redis reads it.
var EntriesOf = entries

// NextPage reads a page of g by get, which is asked for so many entries.
func NextPage(g *Pages, get func(n int) ([]Raw, error)) ([]Raw, bool, error) { return paged(g, get) }
