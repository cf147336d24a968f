package workertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/worker"
	"github.com/tasklog/tasklog/services/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler is one that looks at nothing but its context.
type handler func(ctx context.Context) (any, error)

func run(ctx context.Context, h handler, a workertest.Attempt) workertest.Result {
	return workertest.Run(ctx, func(ctx context.Context, _ worker.Task[any]) (any, error) { return h(ctx) }, nil, a)
}

func TestAHandlerSeesItsAttempt(t *testing.T) {
	a := workertest.Attempt{
		Task: "a", Name: "sendEmail", Queue: "mail", Priority: 7, Traceparent: "00-1", DueAt: time.UnixMilli(1).UTC(),
		Number: 4, Attempts: 2, MaxAttempts: 3,
	}
	want := worker.Task[int]{
		ID: "a", Name: "sendEmail", Queue: "mail", Priority: 7, Traceparent: "00-1", DueAt: time.UnixMilli(1).UTC(),
		Payload: 5, Attempt: 4, Attempts: 2, MaxAttempts: 3,
	}
	for _, tt := range []struct {
		a    workertest.Attempt
		want worker.Task[int]
	}{
		{a, want},
		{workertest.Attempt{}, worker.Task[int]{ID: "test", Name: "test", Queue: "default", Payload: 5, Attempt: 1, Attempts: 1, MaxAttempts: 5}},
	} {
		var saw worker.Task[int]
		got := workertest.Run(t.Context(), func(_ context.Context, task worker.Task[int]) (any, error) {
			saw = task
			return nil, nil
		}, 5, tt.a)
		if saw != tt.want || got.Err != nil || got.Result != nil || !got.Final {
			t.Errorf("the handler saw %+v, want %+v; the result is %+v", saw, tt.want, got)
		}
	}
}

func TestPayloadsGoThroughJSON(t *testing.T) {
	type point struct {
		X     int `json:"x"`
		inner int
	}
	echo := func(_ context.Context, task worker.Task[point]) (any, error) { return task.Payload, nil }
	for name, tt := range map[string]struct {
		payload any
		result  string
		says    string
	}{
		"a value":          {point{1, 2}, `{"x":1}`, ""},
		"JSON":             {json.RawMessage(`{"x": 2}`), `{"x":2}`, ""},
		"nothing":          {nil, `{"x":0}`, ""},
		"of another shape": {[]int{1}, "", "payload: a JSON array does not fit into workertest_test.point"},
		"no JSON":          {json.RawMessage(`{`), "", "payload: "},
		"not for JSON":     {make(chan int), "", "payload: "},
	} {
		got := workertest.Run(t.Context(), echo, tt.payload, workertest.Attempt{})
		if string(got.Result) != tt.result || !strings.HasPrefix(got.Error, tt.says) || !got.Final {
			t.Errorf("%s: got %+v", name, got)
		}
		if (got.Err != nil) != (tt.says != "") || got.Err != nil && got.Reason != events.ReasonRejected {
			t.Errorf("%s: failed with reason %q: %v", name, got.Reason, got.Err)
		}
	}
}

func TestHowAHandlerEndsIsJudgedAsByAWorker(t *testing.T) {
	boom := errors.New("boom")
	fixed := events.Backoff{Type: events.BackoffFixed, DelayMs: 300}
	for name, tt := range map[string]struct {
		h    handler
		a    workertest.Attempt
		want workertest.Result // but for Err
		is   error
	}{
		"with a result": {
			h:    func(context.Context) (any, error) { return "<b>", nil },
			want: workertest.Result{Result: json.RawMessage(`"<b>"`), Final: true},
		},
		"with an error": {
			h: func(context.Context) (any, error) { return nil, boom }, is: boom,
			want: workertest.Result{Error: "boom", Reason: events.ReasonError, RetryIn: time.Second},
		},
		"with an error, at another attempt": {
			h: func(context.Context) (any, error) { return nil, boom }, is: boom, a: workertest.Attempt{Number: 3},
			want: workertest.Result{Error: "boom", Reason: events.ReasonError, RetryIn: 4 * time.Second},
		},
		"with an error, after attempts that do not count": {
			h: func(context.Context) (any, error) { return nil, boom }, is: boom,
			a:    workertest.Attempt{Number: 9, Attempts: 1, MaxAttempts: 2, Backoff: fixed},
			want: workertest.Result{Error: "boom", Reason: events.ReasonError, RetryIn: 300 * time.Millisecond},
		},
		"with an error, at the last attempt": {
			h: func(context.Context) (any, error) { return nil, boom }, is: boom, a: workertest.Attempt{Number: 5},
			want: workertest.Result{Error: "boom", Reason: events.ReasonError, Final: true},
		},
		"with one that no retry can help": {
			h: func(context.Context) (any, error) { return nil, worker.NonRetryable(boom) }, is: boom,
			want: workertest.Result{Error: "boom", Reason: events.ReasonRejected, Final: true},
		},
		"with a time for the retry": {
			h: func(context.Context) (any, error) { return nil, worker.RetryAfter(boom, time.Minute) }, is: boom,
			want: workertest.Result{Error: "boom", Reason: events.ReasonError, RetryIn: time.Minute},
		},
		"with a result that is no JSON": {
			h:    func(context.Context) (any, error) { return func() {}, nil },
			want: workertest.Result{Error: "result: json: unsupported type: func()", Reason: events.ReasonRejected, Final: true},
		},
	} {
		got := run(t.Context(), tt.h, tt.a)
		if tt.is != nil && !errors.Is(got.Err, tt.is) || (got.Err == nil) != (tt.want.Reason == "") {
			t.Errorf("%s: Err is %v", name, got.Err)
		}
		if string(got.Result) != string(tt.want.Result) || got.Error != tt.want.Error || got.Reason != tt.want.Reason ||
			got.Final != tt.want.Final || got.RetryIn != tt.want.RetryIn {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestPanicsAndGoexitsAreCaught(t *testing.T) {
	boom := errors.New("boom")
	panics := run(t.Context(), func(context.Context) (any, error) { panic(boom) }, workertest.Attempt{})
	if panics.Reason != events.ReasonPanic || !errors.Is(panics.Err, boom) || !strings.Contains(panics.Error, "workertest_test.go") || panics.Final {
		t.Errorf("a panic: %+v", panics)
	}
	exits := run(t.Context(), func(context.Context) (any, error) {
		runtime.Goexit()
		return nil, nil
	}, workertest.Attempt{})
	if exits.Reason != events.ReasonPanic || exits.Err == nil || !strings.Contains(exits.Error, "Goexit") {
		t.Errorf("a Goexit: %+v", exits)
	}
}

func TestTheTimeoutEndsTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		obeys := func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		got := run(t.Context(), obeys, workertest.Attempt{Timeout: time.Hour})
		if got.Reason != events.ReasonTimeout || !errors.Is(got.Err, worker.ErrTimeout) || !strings.Contains(got.Error, "1h0m0s") {
			t.Errorf("a handler that takes too long: %+v", got)
		}
		stubborn := func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return "in spite of it", nil
		}
		if got := run(t.Context(), stubborn, workertest.Attempt{Timeout: time.Hour}); got.Err != nil {
			t.Errorf("a handler that succeeds late: %+v", got)
		}
		quick := func(context.Context) (any, error) { return nil, errors.New("boom") }
		if got := run(t.Context(), quick, workertest.Attempt{Timeout: time.Hour}); got.Reason != events.ReasonError {
			t.Errorf("a handler that fails in time: %+v", got)
		}
	})
}

func TestWhatEndsAnAttemptFromOutsideIsNotItsFailure(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		cause, returns error
		reason         events.Reason
		err            error
		final          bool
	}{
		{worker.ErrCancelled, boom, "", worker.ErrCancelled, false},
		{worker.ErrLeaseLost, nil, "", worker.ErrLeaseLost, false},
		{worker.ErrShutdown, boom, events.ReasonShutdown, boom, false},
		{worker.ErrShutdown, nil, "", nil, true}, // it was done in time
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		got := run(ctx, func(ctx context.Context) (any, error) {
			cancel(tt.cause)
			<-ctx.Done()
			return nil, tt.returns
		}, workertest.Attempt{})
		if got.Reason != tt.reason || !errors.Is(got.Err, tt.err) || got.Final != tt.final || got.RetryIn != 0 {
			t.Errorf("%v and the handler returns %v: got %+v", tt.cause, tt.returns, got)
		}
	}
}
