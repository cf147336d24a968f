package eventlog

import (
	"context"
	_ "embed"
	"fmt"
)

//go:embed drop.lua
var dropSource string

var dropScript = newScript(dropSource)

// Drop removes members of a ledger, p.Delayed or p.Leases, that name no task with a usable row, at most
// MaxItems. It returns how many were there.
func (l *Log) Drop(ctx context.Context, ledger string, members []string) (int, error) {
	args := make([]any, len(members))
	for i, m := range members {
		args[i] = m
	}
	r, err := decide(ctx, l.conn.Lease, dropScript, []string{ledger}, args...)
	if err != nil {
		return 0, fmt.Errorf("remove %d members of %s: %w", len(members), ledger, err)
	}
	return int(r.int(0)), nil
}
