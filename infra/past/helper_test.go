package past_test

import (
	"bytes"
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/asof"
	"github.com/tasklog/tasklog/projections/simulation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write puts events into the log as they are, past every check.
func write(t *testing.T, log *eventlog.Log, p eventlog.Partition, list []events.Event) {
	t.Helper()
	testredis.Write(t, log, p, list...)
}

// history makes up a history and writes it into a partition.
func history(t *testing.T, log *eventlog.Log, p eventlog.Partition, c simulation.Config) []events.Event {
	t.Helper()
	list := simulation.Make(c).Events
	write(t, log, p, list)
	return list
}

// fold returns how things stood after some events.
func fold(list []events.Event) *asof.View {
	v := new(asof.View)
	for _, e := range list {
		v.Apply(e)
	}
	return v
}

// keep keeps the snapshot of the last of some events.
func keep(t *testing.T, log *eventlog.Log, p eventlog.Partition, list []events.Event) events.ID {
	t.Helper()
	at := list[len(list)-1].ID
	if _, err := past.New(log).Keep(t.Context(), p, at, fold(list).Encode()); err != nil {
		t.Fatal(err)
	}
	return at
}

// same holds a moment against the events up to then.
func same(t *testing.T, got past.Moment, list []events.Event) {
	t.Helper()
	if at := list[len(list)-1].ID; got.After != at || !bytes.Equal(got.Encode(), fold(list).Encode()) {
		t.Errorf("it is as of %s with %d tasks, want %s with %d", got.After, got.Len(), at, fold(list).Len())
	}
}

// trim removes the entries of a log up to one, as an archiver does, for views that have read all of it.
func trim(t *testing.T, log *eventlog.Log, p eventlog.Partition, upto events.ID) *eventlog.Held {
	t.Helper()
	end, err := log.Last(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Conn().View.HSet(context.Background(), p.View("head"), "checkpoint", end.String()).Err(); err != nil {
		t.Fatal(err)
	}
	held, err := log.Trim(t.Context(), p, upto)
	if err != nil {
		t.Fatal(err)
	}
	return held
}
