package view_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/services/view"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // Connect uses it
	goleak.VerifyTestMain(m)
}

// count is a view: how many events of each type there were.
type count struct {
	projections.Fields[int64]
	version int
	before  func(events.Event) // called with each event, if it is not nil
}

func (c *count) Name() string { return "count" }
func (c *count) Version() int { return c.version }
func (c *count) Apply(e events.Event) {
	if c.before != nil {
		c.before(e)
	}
	*c.Touch(string(e.Data.Type())) += int64(c.version) // so that versions can be told apart
}

func (c *count) Merge(o *count) {
	for typ, n := range o.All() {
		*c.Touch(typ) += *n
	}
}

func (c *count) values() map[string]int64 {
	values := map[string]int64{}
	for typ, n := range c.All() {
		values[typ] = *n
	}
	return values
}

// house is a log.
type house struct {
	*testing.T
	url string
	log *eventlog.Log
}

func build(t *testing.T, url string, partitions int) *house {
	t.Helper()
	return &house{T: t, url: url, log: testredis.Open(t, url, partitions)}
}

// store opens the views once more, as another program does.
func (h *house) store() *view.Store {
	h.Helper()
	s, err := view.Connect(h.Context(), h.url, view.Config{})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if err := s.Close(); err != nil {
			h.Error(err)
		}
	})
	return s
}

// kept is a program that keeps a view.
type kept struct {
	stop  func() // and waits
	ended <-chan error
}

// keep keeps a view, until it is stopped or the test ends.
func (h *house) keep(v *count) kept {
	h.Helper()
	return h.keepIn(h.store(), v)
}

func (h *house) keepIn(s *view.Store, v *count) kept {
	h.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		ended <- view.Keep(ctx, s, v)
	}()
	k := kept{stop: func() { cancel(); <-over }, ended: ended}
	h.Cleanup(k.stop)
	return k
}

// end waits until a program ends by itself, and returns why.
func (h *house) end(k kept) error {
	h.Helper()
	select {
	case err := <-k.ended:
		return err
	case <-time.After(20 * time.Second):
		h.Fatal("it does not end")
		return nil
	}
}

// write puts events into the log, past every check.
func (h *house) write(list []events.Event) {
	h.Helper()
	for _, p := range h.log.Partitions() {
		theirs := slices.DeleteFunc(slices.Clone(list), func(e events.Event) bool { return h.log.Of(e.Task).N != p.N })
		testredis.Write(h, h.log, p, theirs...)
	}
}

// fold is what a view of the whole log is.
func fold(list []events.Event, version int) map[string]int64 {
	c := &count{version: version}
	for _, e := range list {
		c.Apply(e)
	}
	return c.values()
}

// read reads the view.
func (h *house) read(s *view.Store, version int) (map[string]int64, view.Freshness) {
	h.Helper()
	c := &count{version: version}
	fresh, err := view.Read(h.Context(), s, c)
	if err != nil {
		h.Fatal(err)
	}
	return c.values(), fresh
}

// reaches waits until the view is what it is to be.
func (h *house) reaches(s *view.Store, version int, want map[string]int64) {
	h.Helper()
	var got map[string]int64
	var fresh view.Freshness
	h.until("the view is as it should be", func() bool {
		c := &count{version: version}
		var err error
		if fresh, err = view.Read(h.Context(), s, c); errors.Is(err, view.ErrUnusable) {
			return false
		} else if err != nil {
			h.Fatal(err)
		}
		got = c.values()
		return fresh.Version == version && fresh.Behind == 0 && maps.Equal(got, want)
	}, func() { h.Errorf("it is %v, %+v; want %v", got, fresh, want) })
}

// until waits until ok holds.
func (h *house) until(what string, ok func() bool, otherwise ...func()) {
	h.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			for _, f := range otherwise {
				f()
			}
			h.Fatalf("waited too long: %s", what)
		case <-tick.C:
		}
	}
}

// keys are those of own views, and what is among the readers, by partition.
func (h *house) keys() (list []string) {
	h.Helper()
	rdb := h.log.Conn().View
	for _, p := range h.log.Partitions() {
		keys, err := rdb.Keys(h.Context(), p.View("own:*")).Result()
		if err != nil {
			h.Fatal(err)
		}
		readers, err := rdb.HKeys(h.Context(), p.Readers).Result()
		if err != nil {
			h.Fatal(err)
		}
		list = append(append(list, keys...), readers...)
	}
	return list
}

func history(seed uint64, n int) []events.Event {
	return simulation.Make(simulation.Config{Seed: seed, Events: n}).Events
}

// over reports whether an error says that version 1 is over, because version 2 is served.
func over(err error) bool {
	e, ok := errors.AsType[*view.VersionError](err)
	return ok && *e == view.VersionError{View: "count", Served: 2, Own: 1}
}
