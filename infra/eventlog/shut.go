package eventlog

import (
	"context"
	"errors"
	"strings"
)

// A GateKind is why a copy shut a gate.
type GateKind string

// The kinds of gates that copies shut.
const (
	GateCopying GateKind = "copying" // a copy that is not finished: until a person ends it
	GateMoving  GateKind = "moving"  // a log that is being moved: until that is over, or failed
	GateMoved   GateKind = "moved"   // a log that was moved: for good
)

// openings are how the sentence of each kind begins. Scripts answer with that sentence and no more: by its
// beginning the kind is told, also when another version of the program shut the gate.
var openings = map[GateKind]string{
	GateCopying: "this log is a copy that is not finished",
	GateMoving:  "this log is being moved to ",
	GateMoved:   "this log was moved to ",
}

const copyWord = "copy "

// CopyGate returns what a copy puts into a gate: its kind, whose it is, the other log, and what decisions
// answer, which Why tells again.
func CopyGate(k GateKind, token, other string) string {
	other = strings.ReplaceAll(other, "\n", " ")
	why := openings[k]
	switch k {
	case GateCopying:
		why += ": run `tasklog copy` again, with --move or --clone to open it"
	case GateMoving:
		why += other + "; where nobody does that any more, run `tasklog copy` with --move again, or `tasklog copy --reopen` to go on here"
	case GateMoved:
		why += other + ": let clients and services go there"
	}
	return copyWord + string(k) + " " + token + " " + other + "\n" + why
}

// Why returns what decisions answer at a gate that CopyGate made, or "" for any other one.
func Why(gate string) string {
	head, why, _ := strings.Cut(gate, "\n")
	if !strings.HasPrefix(head, copyWord) {
		return ""
	}
	return why
}

// ShutError is an ErrRebuilding of a log that is copied, or was moved.
type ShutError struct{ Why string }

// Error says why no decision is taken, and what to do.
func (e *ShutError) Error() string { return e.Why }

// Is makes a ShutError an ErrRebuilding.
func (e *ShutError) Is(target error) bool { return target == ErrRebuilding }

// Kind returns why the log is shut, or "" when that is not known.
func (e *ShutError) Kind() GateKind {
	for k, opening := range openings {
		if strings.HasPrefix(e.Why, opening) {
			return k
		}
	}
	return ""
}

// Closed reports whether an error says that a log is shut until a person changes that: it was moved, or is a copy
// that is not finished. Nothing was decided. It counts as Unavailable, for it may be opened some day, but to
// wait for that is of no use.
func Closed(err error) bool {
	shut, ok := errors.AsType[*ShutError](err)
	return ok && (shut.Kind() == GateMoved || shut.Kind() == GateCopying)
}

// Ready returns nil when Redis answers and decisions are taken, or will be without anybody's doing: a state that
// is being made again is ready, a log that is Closed is not.
func (l *Log) Ready(ctx context.Context) error {
	if err := l.conn.Ping(ctx); err != nil {
		return err
	}
	for _, p := range l.Partitions() {
		gate, err := l.Gate(ctx, p)
		if err != nil {
			return err
		}
		if shut := (&ShutError{Why(gate)}); Closed(shut) {
			return shut
		}
	}
	return nil
}
