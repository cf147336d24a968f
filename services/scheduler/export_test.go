package scheduler

import "time"

// Hurry lets the janitor rest a moment only, and rows go that are too many however young they are.
func (s *Scheduler) Hurry() { s.young, s.rest = 0, 20*time.Millisecond }
