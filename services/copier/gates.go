package copier

import (
	"context"
	"fmt"
	"strings"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// gateOf returns what shuts a partition, or "" when it is open.
func gateOf(ctx context.Context, log *eventlog.Log, p eventlog.Partition) (gate string, err error) {
	err = eventlog.Persist(ctx, func() error {
		gate, err = log.Gate(ctx, p)
		return err
	})
	return gate, err
}

// swap changes a gate, whatever the network loses.
func swap(ctx context.Context, log *eventlog.Log, p eventlog.Partition, from, to string) error {
	return eventlog.Persist(ctx, func() error { return log.Swap(ctx, p, from, to) })
}

// kindOf returns the kind of a gate, or "" for one that is open or that no copy shut.
func kindOf(gate string) eventlog.GateKind {
	head, _, _ := strings.Cut(gate, "\n")
	if f := strings.Fields(head); eventlog.Why(gate) != "" && len(f) > 1 {
		return eventlog.GateKind(f[1])
	}
	return ""
}

// otherOf returns the other log of a gate that a copy shut.
func otherOf(gate string) string {
	head, _, _ := strings.Cut(gate, "\n")
	if f := strings.SplitN(head, " ", 4); len(f) == 4 {
		return f[3]
	}
	return ""
}

// shutSource shuts the source: nothing is appended any more.
func (c *Copy) shutSource(ctx context.Context) error {
	return c.turnSource(ctx, eventlog.CopyGate(eventlog.GateMoving, c.token, c.cfg.Target))
}

// giveUp says in the gates of the source that it is no longer used.
func (c *Copy) giveUp(ctx context.Context) error {
	return c.turnSource(ctx, eventlog.CopyGate(eventlog.GateMoved, c.token, c.cfg.Target))
}

// turnSource puts something into the gates of the source.
func (c *Copy) turnSource(ctx context.Context, gate string) error {
	for _, p := range c.source.Partitions() {
		have, err := gateOf(ctx, c.source, p)
		if err != nil {
			return err
		}
		if other := otherOf(have); kindOf(have) == "" && have != "" || other != "" && other != c.cfg.Target || kindOf(have) == eventlog.GateCopying {
			return fmt.Errorf("partition %d of the source is shut already: %w", p.N, refusal(have))
		}
		if kindOf(have) == eventlog.GateMoved && kindOf(gate) == eventlog.GateMoving {
			continue // it was given up for this very copy, which was not opened then
		}
		if err := swap(ctx, c.source, p, have, gate); err != nil {
			return err
		}
	}
	return nil
}

// refusal is what decisions answer at a gate.
func refusal(gate string) error {
	if why := eventlog.Why(gate); why != "" {
		return &eventlog.ShutError{Why: why}
	}
	return eventlog.ErrRebuilding
}

// MovedError reports a log that was moved: who goes on with it loses what was done in the other one.
type MovedError struct{ To string }

// Error says where it is, and how to go on here all the same.
func (e *MovedError) Error() string {
	return "this log was moved to " + e.To + ", where work may have gone on; --force opens this one all the same: " +
		"then both logs may run the same tasks, and what was done there is not known here"
}

// Reopen opens a log that a move shut. One that was given up is a *MovedError, unless force is set. It reports
// how many partitions were shut.
func Reopen(ctx context.Context, log *eventlog.Log, force bool) (n int, err error) {
	gates := make([]string, len(log.Partitions()))
	for i, p := range log.Partitions() {
		if gates[i], err = gateOf(ctx, log, p); err != nil {
			return 0, err
		}
		switch k := kindOf(gates[i]); {
		case k == eventlog.GateCopying, k == "" && gates[i] != "":
			return 0, refusal(gates[i])
		case k == eventlog.GateMoved && !force:
			return 0, &MovedError{otherOf(gates[i])}
		}
	}
	for i, p := range log.Partitions() {
		if gates[i] == "" {
			continue
		}
		if err := swap(ctx, log, p, gates[i], ""); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// reopen opens what of the source we shut, when a move failed.
func (c *Copy) reopen(ctx context.Context) error {
	for _, p := range c.source.Partitions() {
		have, err := gateOf(ctx, c.source, p)
		if err != nil {
			return err
		}
		if kindOf(have) != eventlog.GateMoving || !strings.Contains(have, c.token) {
			continue
		}
		if err := swap(ctx, c.source, p, have, ""); err != nil {
			return err
		}
	}
	return nil
}
