package main

import (
	"maps"
	"slices"
	"sync"

	"github.com/tasklog/tasklog/infra/crashpoint"
)

// tally counts what was done to the services, and what they let us hear.
type tally struct {
	mu     sync.Mutex
	faults map[string]int
	points map[crashpoint.Point]int
	alarms []string
	gaveUp int // services that ended with an error, and were started again
}

func newTally() *tally {
	return &tally{faults: map[string]int{}, points: map[crashpoint.Point]int{}}
}

// count notes a fault.
func (t *tally) count(fault string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults[fault]++
}

// hit notes a crash at a point.
func (t *tally) hit(p crashpoint.Point) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.points[p]++
}

// hits is how often processes died at a point.
func (t *tally) hits(p crashpoint.Point) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.points[p]
}

// alarm notes something that must not happen, whatever the faults.
func (t *tally) alarm(who, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alarms = append(t.alarms, who+": "+what)
}

// giveUp notes a service that ended with an error.
func (t *tally) giveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gaveUp++
}

// into copies all of it into a result.
func (t *tally) into(r *result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.faults, r.points, r.alarms, r.gaveUp = maps.Clone(t.faults), maps.Clone(t.points), slices.Clone(t.alarms), t.gaveUp
}
