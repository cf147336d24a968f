package relay

import "time"

// SetTellEvery lets relays say so often what they did, until undo is called.
func SetTellEvery(every time.Duration) (undo func()) {
	before := tellEvery
	tellEvery = every
	return func() { tellEvery = before }
}
