package verdict_test

import (
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/worker/internal/verdict"
)

func TestATaskThatNobodyHandlesWaitsLongerEachTime(t *testing.T) {
	for _, test := range []struct {
		back, attempts int
		want           time.Duration
	}{
		{0, 0, 5 * time.Second},
		{1, 0, 10 * time.Second},
		{4, 0, 80 * time.Second},
		{5, 0, 2 * time.Minute},
		{10_000, 0, 2 * time.Minute},
		{0, 7, 5 * time.Second},
		{2, 7, 20 * time.Second},
	} {
		task := events.Task{Attempt: test.attempts, Events: make([]events.ID, 2+2*test.back+3*test.attempts)}
		if got := verdict.Unhandled(task, 0.5); got != test.want {
			t.Errorf("given back %d times, after %d attempts: %s, want %s", test.back, test.attempts, got, test.want)
		}
	}
	if got := verdict.Unhandled(events.Task{}, 0.5); got != 5*time.Second {
		t.Errorf("of a row that is lost: %s", got)
	}
}

func TestTheWaitForAHandlerIsNotTheSameEachTime(t *testing.T) {
	if got := verdict.Unhandled(events.Task{}, 0); got != 4*time.Second {
		t.Errorf("at the least %s, want 4s", got)
	}
	if got := verdict.Unhandled(events.Task{}, 0.999); got < 5900*time.Millisecond || got >= 6*time.Second {
		t.Errorf("at the most %s, want almost 6s", got)
	}
}
