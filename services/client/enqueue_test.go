package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/client"
)

func TestWhatIsEnqueuedIsInTheLog(t *testing.T) {
	h := build(t)
	r := h.enqueue(client.Task{
		Name: "sendEmail", Payload: map[string]int{"userId": 123}, Queue: "mail", Priority: 7, ID: "a", MaxAttempts: 3,
		Backoff: events.Backoff{Type: events.BackoffFixed, DelayMs: 10}, Timeout: 1500 * time.Microsecond, Traceparent: "00-1",
	})
	list := h.events("a")
	if len(list) != 1 {
		t.Fatalf("the log holds %v", list)
	}
	got := list[0].Data.(events.TaskRequested)
	if got.RequestID == "" {
		t.Error("nothing tells a repeat of the request from a duplicate")
	}
	want := events.TaskRequested{
		Label: events.Label{Queue: "mail", Name: "sendEmail"},
		Definition: events.Definition{
			Payload: json.RawMessage(`{"userId":123}`), Priority: 7, MaxAttempts: 3, TimeoutMs: 2, Traceparent: "00-1",
			Backoff: events.Backoff{Type: events.BackoffFixed, DelayMs: 10}, RequestID: got.RequestID,
		},
		DueAt: list[0].ID.Ms,
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("the log says %+v\nwant         %+v", got, want)
	}
	due := time.UnixMilli(want.DueAt).UTC()
	if want := (client.Receipt{ID: "a", Queue: "mail", State: events.StateWaiting, DueAt: due, Event: list[0].ID}); r != want {
		t.Errorf("receipt %+v, want %+v", r, want)
	}
}

func TestWhatIsLeftOutIsFilledIn(t *testing.T) {
	h := build(t)
	r := h.enqueue(client.Task{Name: "n"})
	if other := h.enqueue(client.Task{Name: "n"}); r.ID == "" || other.ID == r.ID {
		t.Errorf("the ids are %q and %q", r.ID, other.ID)
	}
	got := h.events(r.ID)[0].Data.(events.TaskRequested)
	if got.Queue != "default" || got.MaxAttempts != 5 || got.Payload != nil || got.TimeoutMs != 0 || got.DelayMs != 0 || r.Queue != "default" {
		t.Errorf("got %+v", got)
	}
}

func TestEnqueueRefusesWhatIsWrongAndAppendsNothing(t *testing.T) {
	h := build(t)
	small := h.another(client.Options{MaxPayload: 10})
	long := strings.Repeat("x", events.MaxNameBytes+1)
	for name, tt := range map[string]struct {
		task  client.Task
		field string
	}{
		"no name":                {client.Task{}, "name"},
		"a name with a brace":    {client.Task{Name: "a{b"}, "name"},
		"a long name":            {client.Task{Name: long}, "name"},
		"an id with a line end":  {client.Task{Name: "n", ID: "a\nb"}, "id"},
		"a long id":              {client.Task{Name: "n", ID: long}, "id"},
		"an id that is no UTF-8": {client.Task{Name: "n", ID: "\xff"}, "id"},
		"a queue with a brace":   {client.Task{Name: "n", Queue: "q}"}, "queue"},
		"less than no priority":  {client.Task{Name: "n", Priority: -1}, "priority"},
		"too low a priority":     {client.Task{Name: "n", Priority: events.MaxPriority + 1}, "priority"},
		"less than no attempts":  {client.Task{Name: "n", MaxAttempts: -1}, "maxAttempts"},
		"too many attempts":      {client.Task{Name: "n", MaxAttempts: events.MaxAttemptsLimit + 1}, "maxAttempts"},
		"less than no timeout":   {client.Task{Name: "n", Timeout: -time.Second}, "timeoutMs"},
		"too long a timeout":     {client.Task{Name: "n", Timeout: events.MaxDelay + time.Second}, "timeoutMs"},
		"another backoff":        {client.Task{Name: "n", Backoff: events.Backoff{Type: "linear"}}, "backoff.type"},
		"less than no backoff":   {client.Task{Name: "n", Backoff: events.Backoff{DelayMs: -1}}, "backoff.delayMs"},
		"too long a backoff":     {client.Task{Name: "n", Backoff: events.Backoff{MaxDelayMs: 1 << 60}}, "backoff.maxDelayMs"},
		"too much jitter":        {client.Task{Name: "n", Backoff: events.Backoff{Jitter: new(1.5)}}, "backoff.jitter"},
		"less than no delay":     {client.Task{Name: "n", Delay: -1}, "delay"},
		"too long a delay":       {client.Task{Name: "n", Delay: events.MaxDelay + 1}, "delay"},
		"two times":              {client.Task{Name: "n", Delay: 1, RunAt: time.Now()}, "runAt"},
		"a time too far away":    {client.Task{Name: "n", RunAt: time.Now().Add(events.MaxDelay + time.Hour)}, "runAt"},
		"a time before 1970":     {client.Task{Name: "n", RunAt: time.Unix(-1, 0)}, "runAt"},
		"a time without a year":  {client.Task{Name: "n", RunAt: time.Time{}.Add(1)}, "runAt"},
		"a payload that is none": {client.Task{Name: "n", Payload: func() {}}, "payload"},
		"broken JSON":            {client.Task{Name: "n", Payload: json.RawMessage(`{`)}, "payload"},
		"a long payload":         {client.Task{Name: "n", Payload: "123456789"}, "payload"},
	} {
		_, err := small.Enqueue(t.Context(), tt.task)
		wrong, ok := errors.AsType[*events.FieldError](err)
		if !ok || wrong.Field != tt.field || wrong.Reason == "" {
			t.Errorf("%s: got %v, want a FieldError for %s", name, err, tt.field)
		}
	}
	if list := h.events(""); len(list) != 0 {
		t.Errorf("the log holds %v", list)
	}
	if _, err := small.Enqueue(t.Context(), client.Task{Name: "n", Payload: "12345678"}); err != nil {
		t.Errorf("a payload as long as may be: %v", err)
	}
}

func TestAPayloadThatNoDecoderWouldReadIsRefused(t *testing.T) {
	h := build(t)
	nested := func(depth int) client.Task {
		return client.Task{Name: "n", Payload: json.RawMessage(strings.Repeat("[", depth) + strings.Repeat("]", depth))}
	}
	_, err := h.Enqueue(t.Context(), nested(events.MaxDepth+1))
	if wrong, ok := errors.AsType[*events.FieldError](err); !ok || wrong.Field != "payload" {
		t.Errorf("got %v, want a FieldError for payload", err)
	}
	if list := h.events(""); len(list) != 0 {
		t.Errorf("the log holds %v", list)
	}
	if _, err := h.Enqueue(t.Context(), nested(events.MaxDepth)); err != nil {
		t.Errorf("a payload as deep as may be: %v", err)
	}
}

func TestAnIDIsTakenOnceAndDuplicatesTellOfTheFirst(t *testing.T) {
	h := build(t)
	h.work()
	first := h.enqueue(client.Task{Name: "echo", ID: "a", Queue: "mail", Payload: 1})
	if first.Duplicate {
		t.Error("the first is no duplicate")
	}
	if _, err := h.Wait(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	again := h.enqueue(client.Task{Name: "other", ID: "a", Payload: 2, Delay: time.Hour})
	want := first
	want.Duplicate, want.State = true, events.StateCompleted
	if again != want {
		t.Errorf("the duplicate's receipt is %+v, want %+v", again, want)
	}
	if list := h.events("a"); len(list) != 4 {
		t.Errorf("the log holds %v", list)
	}
}

func TestFiftyWhoRaceForOneIDMakeOneTask(t *testing.T) {
	h := build(t)
	clients := []*client.Client{h.Client, h.another(client.Options{}), h.another(client.Options{})}
	const n = 50
	receipts := make([]client.Receipt, n)
	var racing sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		racing.Go(func() {
			<-begin
			r, err := clients[i%len(clients)].Enqueue(t.Context(), client.Task{Name: "n", ID: "a", Payload: i})
			if err != nil {
				t.Error(err)
			}
			receipts[i] = r
		})
	}
	close(begin)
	racing.Wait()
	originals := slices.DeleteFunc(slices.Clone(receipts), func(r client.Receipt) bool { return r.Duplicate })
	if len(originals) != 1 {
		t.Fatalf("%d of them say that they made the task", len(originals))
	}
	for _, r := range receipts {
		if r.Duplicate = false; r != originals[0] {
			t.Errorf("receipt %+v differs from %+v", r, originals[0])
		}
	}
	if list := h.events(""); len(list) != 1 {
		t.Errorf("the log holds %d events", len(list))
	}
}

func TestDelaysCountOnRedisClock(t *testing.T) {
	h := build(t)
	soon := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	for name, tt := range map[string]struct {
		task  client.Task
		state events.State
		due   func(asked time.Time) time.Time
	}{
		"now":       {client.Task{}, events.StateWaiting, func(asked time.Time) time.Time { return asked }},
		"a delay":   {client.Task{Delay: 90 * time.Second}, events.StateDelayed, func(asked time.Time) time.Time { return asked.Add(90 * time.Second) }},
		"a time":    {client.Task{RunAt: soon}, events.StateDelayed, func(time.Time) time.Time { return soon }},
		"a past":    {client.Task{RunAt: time.Now().Add(-time.Hour)}, events.StateWaiting, func(asked time.Time) time.Time { return asked }},
		"the epoch": {client.Task{RunAt: time.Unix(0, 0)}, events.StateWaiting, func(asked time.Time) time.Time { return asked }},
	} {
		tt.task.Name = "n"
		r := h.enqueue(tt.task)
		if want := tt.due(r.Event.Time()); r.State != tt.state || !r.DueAt.Equal(want) {
			t.Errorf("%s: %s, due at %s, want %s at %s", name, r.State, r.DueAt, tt.state, want)
		}
	}
}

// once checks that the log holds one request of each task, and nothing else.
func (h *house) once(tasks []string) {
	h.Helper()
	count := map[string]int{}
	for _, e := range h.events("") {
		count[e.Task]++
	}
	for _, id := range tasks {
		if count[id] != 1 {
			h.Errorf("task %s was requested %d times", id, count[id])
		}
	}
	if len(count) != len(tasks) {
		h.Errorf("the log holds %d tasks, want %d", len(count), len(tasks))
	}
}

func TestEnqueueOutlastsARedisThatStandsStill(t *testing.T) {
	h := build(t)
	h.enqueue(client.Task{Name: "n", ID: "before"}) // connections are there
	h.redis.Pause()
	tasks := []string{"before"}
	var asking sync.WaitGroup
	for i := range 20 {
		id := fmt.Sprint("t", i)
		tasks = append(tasks, id)
		asking.Go(func() {
			r, err := h.Enqueue(t.Context(), client.Task{Name: "n", ID: id})
			if err != nil || r.Duplicate {
				t.Errorf("task %s: %+v, %v", id, r, err)
			}
		})
	}
	// Longer than Redis may take to answer: what was sent is done later, and by then asked for again.
	<-time.After(4 * time.Second)
	h.redis.Resume()
	asking.Wait()
	h.once(tasks)
}

func TestEnqueueOutlastsARestartOfRedis(t *testing.T) {
	h := build(t, "--appendonly", "yes", "--appendfsync", "always")
	var (
		mu     sync.Mutex
		tasks  []string
		asking sync.WaitGroup
		stop   = make(chan struct{})
	)
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(tasks) >= 100
	}
	for i := range 10 {
		asking.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("t%d-%d", i, n)
				r, err := h.Enqueue(t.Context(), client.Task{Name: "n", ID: id})
				if err != nil || r.Duplicate {
					t.Errorf("task %s: %+v, %v", id, r, err)
				}
				mu.Lock()
				tasks = append(tasks, id)
				mu.Unlock()
			}
		})
	}
	for range 3 {
		h.until("tasks were asked for", enough)
		h.redis.Kill()
		h.redis.Restart(t)
		mu.Lock()
		had := len(tasks)
		mu.Unlock()
		h.until("it goes on", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(tasks) >= had+20
		})
	}
	close(stop)
	asking.Wait()
	h.once(tasks)
}

func TestEnqueueGivesUpWhenItsTimeIsOver(t *testing.T) {
	h := build(t)
	hasty := h.another(client.Options{Patience: 300 * time.Millisecond})
	h.redis.Kill()
	began := time.Now()
	r, err := hasty.Enqueue(t.Context(), client.Task{Name: "n"})
	if !eventlog.Unavailable(err) || r.ID == "" {
		t.Errorf("got %+v, %v: want an error that says that Redis is away, and the id to ask again with", r, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it gave up after %s", took)
	}
	h.redis.Restart(t) // without what it held
	again, err := hasty.Enqueue(t.Context(), client.Task{Name: "n", ID: r.ID})
	if err != nil || again.ID != r.ID { // a duplicate, if the call that nobody waited for came through
		t.Errorf("asked again: %+v, %v", again, err)
	}
}

func TestEachTaskThatRedisRefusesIsToldForItself(t *testing.T) {
	srv := testredis.Start(t)
	c, err := client.Connect(t.Context(), srv.URL(), client.Options{MaxMemory: 1_000_000, Patience: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := srv.Client().Set(t.Context(), "padding", strings.Repeat("x", 1<<20), 0).Err(); err != nil {
		t.Fatal(err)
	}
	full, read := make(chan struct{}), make(chan struct{})
	ids := []string{"taken", "first", "second", "third"}
	tasks := func(yield func(client.Task) bool) {
		for i, id := range ids {
			if !yield(client.Task{Name: "t", ID: id}) {
				return
			}
			if i == 0 {
				<-full
			}
		}
		close(read)
	}
	n := 0
	for _, err := range c.EnqueueMany(t.Context(), tasks) {
		if n == 0 {
			if err != nil {
				t.Fatal(err)
			}
			srv.Set(t, "maxmemory", "1mb")
			close(full)
			<-read // so the others are asked for together
		} else if want := "request task " + ids[n] + ": OOM"; !eventlog.Full(err) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("task %s: %v, want a line with %q", ids[n], err, want)
		}
		n++
	}
}

func TestEnqueueAppendsNothingToAFullRedis(t *testing.T) {
	srv := testredis.Start(t)
	c, err := client.Connect(t.Context(), srv.URL(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	srv.Set(t, "maxmemory", "1")
	if _, err := c.Enqueue(t.Context(), client.Task{Name: "t", ID: "a"}); !errors.Is(err, eventlog.ErrFull) {
		t.Errorf("Enqueue = %v, want an ErrFull", err)
	}
	if n := srv.Client().XLen(t.Context(), "tasklog:{0}:events").Val(); n != 0 {
		t.Errorf("%d events", n)
	}
	srv.Set(t, "maxmemory", "0")
	for err = eventlog.ErrFull; errors.Is(err, eventlog.ErrFull); { // for a second it remembers
		_, err = c.Enqueue(t.Context(), client.Task{Name: "t", ID: "a"})
	}
	if err != nil {
		t.Errorf("with room again: %v", err)
	}
}
