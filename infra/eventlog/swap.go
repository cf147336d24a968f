package eventlog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
)

//go:embed swap.lua
var swapSource string

var swapScript = newUngated(swapSource)

// ErrMoved reports that somebody else has a gate by now.
var ErrMoved = errors.New("somebody else has taken over")

// Swap changes the gate of a partition from what it holds to something else; "" is a gate that is open.
// It returns ErrMoved when it holds neither.
func (l *Log) Swap(ctx context.Context, p Partition, from, to string) error {
	r, err := decide(ctx, l.conn.View, swapScript, []string{p.Rebuild}, from, to)
	if err == nil && r.str(0) != "ok" {
		err = ErrMoved
	}
	if err != nil {
		return fmt.Errorf("change the gate of partition %d: %w", p.N, err)
	}
	return nil
}
