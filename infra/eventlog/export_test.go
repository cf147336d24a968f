package eventlog

import "time"

// SetRepeats makes decisions ask again after these times, until undo is called.
func SetRepeats(after ...time.Duration) (undo func()) {
	before := repeats
	repeats = after
	return func() { repeats = before }
}
