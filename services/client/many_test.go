package client_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis/faults"
	"github.com/tasklog/tasklog/services/client"
)

// an is what became of one of many tasks.
type an struct {
	client.Receipt
	err error
}

// collect returns the answers to many tasks.
func collect(answers iter.Seq2[client.Receipt, error]) (list []an) {
	for r, err := range answers {
		list = append(list, an{r, err})
	}
	return list
}

// numbered yields n tasks that have ids.
func numbered(n int) iter.Seq[client.Task] {
	return func(yield func(client.Task) bool) {
		for i := range n {
			if !yield(client.Task{Name: "n", ID: fmt.Sprint("t", i)}) {
				return
			}
		}
	}
}

func TestManyAreAnsweredInOrderAndOneThatIsWrongFailsAlone(t *testing.T) {
	h := build(t)
	const n = 5000
	answers := collect(h.EnqueueMany(t.Context(), func(yield func(client.Task) bool) {
		for i := range n {
			task := client.Task{Name: "n", ID: fmt.Sprint("t", i), Payload: i}
			switch i % 100 {
			case 7:
				task.Priority = -1
			case 8:
				task.ID = "t0"
			case 9:
				task.ID = ""
			}
			if !yield(task) {
				return
			}
		}
	}))
	if len(answers) != n {
		t.Fatalf("%d answers", len(answers))
	}
	list, taken := h.events(""), 0
	for i, a := range answers {
		wrong, ok := errors.AsType[*events.FieldError](a.err)
		switch {
		case i%100 == 7:
			if !ok || wrong.Field != "priority" || a.ID != "" {
				t.Errorf("task %d: %+v", i, a)
			}
			continue
		case a.err != nil:
			t.Errorf("task %d: %v", i, a.err)
		case i%100 == 8:
			if a.ID != "t0" || !a.Duplicate || a.Event != answers[0].Event {
				t.Errorf("task %d is the first one again, and is answered %+v", i, a)
			}
			continue
		}
		if e := list[taken]; e.ID != a.Event || e.Task != a.ID || a.Duplicate || i%100 != 9 && a.ID != fmt.Sprint("t", i) {
			t.Fatalf("task %d is answered %+v, and entry %d is %s of %s", i, a, taken, e.ID, e.Task)
		}
		taken++
	}
	if len(list) != taken {
		t.Errorf("%d events, and %d were told of", len(list), taken)
	}
}

func TestATaskThatComesAloneIsNotKeptWaiting(t *testing.T) {
	h := build(t)
	next := make(chan struct{}, 1)
	next <- struct{}{}
	i := 0
	for r, err := range h.EnqueueMany(t.Context(), func(yield func(client.Task) bool) {
		for range next {
			if !yield(client.Task{Name: "n"}) {
				return
			}
		}
	}) {
		if err != nil || r.State != events.StateWaiting {
			t.Fatalf("%+v, %v", r, err)
		}
		if i++; i == 3 {
			close(next)
			continue
		}
		next <- struct{}{} // only now is there another one
	}
	if i != 3 {
		t.Errorf("%d answers", i)
	}
}

func TestASequenceIsReadNoFurtherThanItsBounds(t *testing.T) {
	h := build(t)
	for name, tt := range map[string]struct {
		tasks, most int
		payload     string
	}{
		"many small ones": {20_000, 2*1024 + 2, "x"},
		"large ones":      {40, 2*5 + 2, strings.Repeat("x", 900<<10)},
	} {
		var read, answered, furthest atomic.Int64
		for _, err := range h.EnqueueMany(t.Context(), func(yield func(client.Task) bool) {
			for range tt.tasks {
				ahead := read.Add(1) - answered.Load()
				furthest.Store(max(furthest.Load(), ahead))
				if !yield(client.Task{Name: "n", Payload: tt.payload}) {
					return
				}
			}
		}) {
			if err != nil {
				t.Fatal(err)
			}
			answered.Add(1)
		}
		if n := answered.Load(); n != int64(tt.tasks) {
			t.Errorf("%s: %d answers", name, n)
		}
		if n := furthest.Load(); n > int64(tt.most) {
			t.Errorf("%s: %d were read and not answered, want %d at the most", name, n, tt.most)
		}
	}
}

func TestManyAreTakenOnceAndInOrderWhateverTheNetworkLoses(t *testing.T) {
	h := build(t)
	p := faults.Start(t, h.redis.Addr())
	c, err := client.Connect(t.Context(), p.URL(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, f := range []faults.Fault{
		{Kind: faults.DropRequest, Times: 6}, // more often than the log itself tries again
		{Kind: faults.DropReply, Times: 6},
		{Kind: faults.CutReply, At: 20, Times: 6},
		{Kind: faults.Answer, Error: faults.Errors[0], Times: 6},
	} {
		h.redis.Client().FlushDB(t.Context())
		skip := 3
		f.Only = func(c faults.Command) bool {
			skip--
			return c.Calls() && skip < 0
		}
		hits := p.Set(f)
		const n = 3000
		var ids []string
		for r, err := range c.EnqueueMany(t.Context(), func(yield func(client.Task) bool) {
			for i := range n {
				task := client.Task{Name: "n"}
				if i%2 == 0 {
					task.ID = fmt.Sprint("t", i)
				}
				if !yield(task) {
					return
				}
			}
		}) {
			if err != nil || r.Duplicate {
				t.Errorf("%s: task %d: %+v, %v", f, len(ids), r, err)
			}
			ids = append(ids, r.ID)
		}
		if got := p.Set(faults.Fault{}) - hits; got != 6 {
			t.Errorf("%s: %d faults", f, got)
		}
		h.once(ids)
		if list := h.events(""); !slices.EqualFunc(list, ids, func(e events.Event, id string) bool { return e.Task == id }) {
			t.Errorf("%s: the tasks are not in their order", f)
		}
	}
}

func TestWhenRedisIsAwayForLongTheRestIsAnsweredAndCanBeAskedForAgain(t *testing.T) {
	h := build(t, "--appendonly", "yes", "--appendfsync", "always")
	hasty := h.another(client.Options{Patience: 2 * time.Second})
	const n = 20_000
	var tasks []client.Task
	answered, failed := 0, 0
	for r, err := range hasty.EnqueueMany(t.Context(), func(yield func(client.Task) bool) {
		for range n {
			if !yield(client.Task{Name: "n"}) {
				return
			}
		}
	}) {
		if answered++; answered == 2000 {
			h.redis.Kill()
		}
		if err == nil && failed > 0 || err != nil && !eventlog.Unavailable(err) || r.ID == "" {
			t.Fatalf("after %d that failed: %+v, %v", failed, r, err)
		}
		if err != nil {
			failed++
		}
		tasks = append(tasks, client.Task{Name: "n", ID: r.ID})
	}
	if answered != n || failed == 0 || failed > n-2000 {
		t.Fatalf("%d answers, %d of them errors", answered, failed)
	}
	h.redis.Restart(t)
	var ids []string
	for r, err := range h.EnqueueMany(t.Context(), slices.Values(tasks[n-failed:])) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	count := map[string]int{}
	for after := (events.ID{}); ; {
		entries, err := h.log.Range(t.Context(), h.log.Partitions()[0], after, events.MaxID, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			count[e.Task]++
		}
		after = entries[len(entries)-1].ID
	}
	for _, task := range tasks {
		if count[task.ID] != 1 {
			t.Fatalf("task %s was requested %d times", task.ID, count[task.ID])
		}
	}
	if len(count) != n || len(ids) != failed {
		t.Errorf("%d tasks are in the log, %d were asked for again", len(count), len(ids))
	}
}

func TestAfterItsContextEndedOrTheClientClosedNothingIsAskedFor(t *testing.T) {
	h := build(t)
	ctx, stop := context.WithCancel(t.Context())
	other := h.another(client.Options{})
	for name, tt := range map[string]struct {
		client *client.Client
		ctx    context.Context //nolint:containedctx // of a test
		end    func()
		want   error
	}{
		"context": {h.Client, ctx, stop, context.Canceled},
		"client":  {other, t.Context(), func() { _ = other.Close() }, client.ErrClosed},
	} {
		answered, failed := 0, 0
		for _, err := range tt.client.EnqueueMany(tt.ctx, numbered(10_000)) {
			if answered++; answered == 1 {
				tt.end()
			}
			if err == nil && failed > 0 || err != nil && !errors.Is(err, tt.want) {
				t.Fatalf("%s: after %d that failed: %v", name, failed, err)
			}
			if err != nil {
				failed++
			}
		}
		if answered != 10_000 || failed < 10_000-2*1024 {
			t.Errorf("%s: %d answers, %d of them errors", name, answered, failed)
		}
	}
}

func TestWhoLeavesTheLoopStopsTheReading(t *testing.T) {
	h := build(t)
	read := 0
	for _, err := range h.EnqueueMany(t.Context(), func(yield func(client.Task) bool) {
		for read++; yield(client.Task{Name: "n"}); read++ {
			continue
		}
	}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if read > 2*1024+2 { // nobody reads any more: else this were a race
		t.Errorf("%d were read", read)
	}
}
