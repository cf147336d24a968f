package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"time"
)

//go:embed sweep.lua
var sweepSource string

var sweepScript = newScript(sweepSource)

// Swept is what a sweep found.
type Swept struct {
	Now      int64    // ms of Redis' clock
	Spared   int      // leases that got one more term because nobody had swept for too long
	NextEnd  int64    // ms: end of the earliest lease; 0 when there is none
	Overdue  []string // tasks whose lease has ended: to be abandoned
	MoreLeft bool     // sweep again at once
}

// Sweep looks for attempts whose lease has ended, at most MaxItems. If no sweep happened for
// longer than gap, no lease is judged: those that have less than half of it to go get one more
// lease first, for their workers could not extend them either.
func (l *Log) Sweep(ctx context.Context, p Partition, gap, lease time.Duration) (Swept, error) {
	r, err := decide(ctx, l.conn.Lease, sweepScript, []string{p.Leases, p.Swept}, ms(gap), ms(lease), MaxItems)
	if err != nil {
		return Swept{}, fmt.Errorf("sweep partition %d: %w", p.N, err)
	}
	s := Swept{Now: r.int(0), Spared: int(r.int(1)), NextEnd: r.int(2)}
	for i := 3; i < len(r); i++ {
		s.Overdue = append(s.Overdue, r.str(i))
	}
	s.MoreLeft = s.Spared == MaxItems || len(s.Overdue) == MaxItems
	return s, nil
}
