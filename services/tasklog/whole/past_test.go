package whole_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/worker"
)

// recording is what was seen while it happened.
type recording struct {
	queues []recordedQueues
	tasks  map[events.ID]events.Task // as it was after that event
}

// recordedQueues is the stored view of the queues of a partition at a checkpoint.
type recordedQueues struct {
	part   eventlog.Partition
	at     events.ID
	fields map[string]string
}

// project runs a projector until stop is called, or the test ends.
func (h *house) project(cfg projector.Config) (stop func()) {
	h.Helper()
	p, err := projector.New(h.log, cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		h.Fatal(err)
	}
	return h.run(p.Run)
}

// meddle does one random thing that people do.
func (h *house) meddle(dice *rand.Rand, tasks int) {
	h.Helper()
	ctx, task := h.Context(), fmt.Sprint("t", dice.IntN(tasks+1))
	queue := fmt.Sprint("q", dice.IntN(3))
	var err error
	switch dice.IntN(12) {
	case 0:
		_, err = h.log.Cancel(ctx, task, "test", "")
	case 1:
		_, err = h.log.Retry(ctx, task, "test", fmt.Sprint("again", dice.Uint64()))
	case 2:
		_, err = h.log.Pause(ctx, queue, "test")
	case 3, 4:
		_, err = h.log.Resume(ctx, queue, "test")
	default:
		r := eventlog.Request{
			Task: fmt.Sprint("t", tasks), Label: events.Label{Queue: queue, Name: fmt.Sprint("n", dice.IntN(2))},
			Definition: events.Definition{MaxAttempts: 1 + dice.IntN(3), Priority: dice.IntN(3), Backoff: events.Backoff{DelayMs: 1}},
		}
		if dice.IntN(4) == 0 {
			r.Delay = time.Duration(dice.IntN(200)) * time.Millisecond
		}
		_, err = h.log.Request(ctx, r)
	}
	if _, refused := errors.AsType[*eventlog.RefusedError](err); err != nil && !refused && !errors.Is(err, eventlog.ErrNotFound) {
		h.Fatal(err)
	}
}

// record lets n random things be done while tasks run, and sees how things stand in between.
func (h *house) record(dice *rand.Rand, n int) recording {
	h.Helper()
	store, seen := views.New(h.log), recording{tasks: map[events.ID]events.Task{}}
	last := map[int]events.ID{}
	for i := range n {
		h.meddle(dice, i)
		for _, p := range h.log.Partitions() {
			v, err := store.Stored(h.Context(), p)
			if errors.Is(err, views.ErrUnusable) {
				continue // there are none yet
			}
			if err != nil {
				h.Fatal(err)
			}
			if v.Checkpoint != last[p.N] {
				last[p.N] = v.Checkpoint
				seen.queues = append(seen.queues, recordedQueues{p, v.Checkpoint, v.Fields["queues"]})
			}
		}
		t, err := h.log.Task(h.Context(), fmt.Sprint("t", dice.IntN(i+1)))
		if err == nil {
			seen.tasks[t.Events[len(t.Events)-1]] = t
		} else if !errors.Is(err, eventlog.ErrNotFound) {
			h.Fatal(err)
		}
	}
	return seen
}

// holds holds what the past is told to be against what was seen.
func (h *house) holds(seen recording) {
	h.Helper()
	log := open(h.T, h.redis.URL())
	s := past.New(log)
	for _, q := range seen.queues {
		m, err := s.Moment(h.Context(), q.part, q.at)
		if err != nil {
			h.Fatal(err)
		}
		got := map[string]string{}
		for name, queue := range m.Queues.All() {
			data, err := json.Marshal(queue)
			if err != nil {
				h.Fatal(err)
			}
			got[name] = string(data)
		}
		if m.After != q.at || !maps.Equal(got, q.fields) {
			h.Errorf("partition %d at %s: %v, and it was %v", q.part.N, q.at, got, q.fields)
		}
	}
	for at, want := range seen.tasks {
		got, _, err := s.Task(h.Context(), want.ID, at, false)
		if err != nil || !reflect.DeepEqual(got, want) {
			h.Errorf("task %s at %s: %+v, %v; and it was %+v", want.ID, at, got, err, want)
		}
		m, err := s.Moment(h.Context(), log.Of(want.ID), at)
		if err != nil {
			h.Fatal(err)
		}
		place, ok := m.Place(want.ID)
		if o := place.Outline(); !ok || o.State != want.State || o.Attempt != want.Attempt || o.DueAt != want.DueAt || o.Worker != want.Worker || place.At != at {
			h.Errorf("task %s at %s: it stands at %+v, and it was %+v", want.ID, at, place, want)
		}
	}
}

func (h *house) snapshots() (n int) {
	h.Helper()
	for _, p := range h.log.Partitions() {
		list, err := past.New(h.log).List(h.Context(), p, events.MaxID, 10_000)
		if err != nil {
			h.Fatal(err)
		}
		n += len(list)
	}
	return n
}

func TestThePastIsToldAsItWasRecordedLive(t *testing.T) {
	srv := testredis.Start(t, "--appendonly", "yes")
	testredis.Open(t, srv.URL(), 2)
	var dice sync.Mutex
	luck := rand.New(rand.NewPCG(5, 5))
	h := blind(t, srv, srv.URL(), 0, func(context.Context, worker.Task[json.RawMessage]) (any, error) {
		dice.Lock()
		defer dice.Unlock()
		if luck.IntN(3) == 0 {
			return nil, errors.New("bad luck")
		}
		return nil, nil
	})
	stop := h.project(projector.Config{Pace: time.Millisecond, SnapshotEvery: 60, SnapshotRatio: 1})
	seen := h.record(rand.New(rand.NewPCG(6, 6)), 600)
	if len(seen.queues) < 100 || len(seen.tasks) < 100 {
		t.Fatalf("%d views and %d tasks were recorded, want a hundred", len(seen.queues), len(seen.tasks))
	}
	rand.New(rand.NewPCG(7, 7)).Shuffle(len(seen.queues), func(i, k int) { seen.queues[i], seen.queues[k] = seen.queues[k], seen.queues[i] })
	seen.queues = seen.queues[:100]
	for at := range seen.tasks {
		if len(seen.tasks) == 50 {
			break
		}
		delete(seen.tasks, at)
	}
	if n := h.snapshots(); n < 4 {
		t.Fatalf("%d snapshots", n)
	}
	h.holds(seen)
	stop()

	for _, p := range h.log.Partitions() {
		if err := srv.Client().Del(t.Context(), p.Past).Err(); err != nil {
			t.Fatal(err)
		}
	}
	h.holds(seen) // from the log alone

	h.project(projector.Config{SnapshotEvery: 23, SnapshotRatio: 1})
	for deadline := time.Now().Add(30 * time.Second); h.snapshots() < 8; {
		if time.Now().After(deadline) {
			t.Fatalf("%d snapshots were made again", h.snapshots())
		}
		<-time.After(10 * time.Millisecond)
	}
	h.holds(seen)
	srv.Kill()
	srv.Restart(t)
	h.holds(seen)
}
