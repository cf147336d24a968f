package audit

import (
	"slices"

	"github.com/tasklog/tasklog/events"
)

// maxError is how many bytes of an error the log keeps.
const maxError = 4 << 10

// requested judges a request.
func (a *Audit) requested(e events.Event, d events.TaskRequested) {
	for field, s := range map[string]string{"task": e.Task, "queue": d.Queue, "name": d.Name} {
		err := events.ValidateName(field, s)
		a.check(Limits, e, err == nil, "%v", err)
	}
	err := d.Validate()
	a.check(Limits, e, err == nil, "%v", err)
	a.check(Limits, e, len(d.Payload) <= a.cfg.MaxPayload && events.Depth(d.Payload) <= events.MaxDepth,
		"a payload of %d bytes, %d deep", len(d.Payload), events.Depth(d.Payload))
	a.check(Limits, e, d.DelayMs >= 0 && d.DelayMs <= events.MaxDelay.Milliseconds(), "a delay of %d ms", d.DelayMs)
	asked := d.DueAt - d.DelayMs // by the clock that the script saw
	a.check(Early, e, asked <= e.ID.Ms && (e.ID.Seq > 0 || asked >= a.decided(e)),
		"due at %d with a delay of %d ms: that is %d ms off", d.DueAt, d.DelayMs, asked-e.ID.Ms)
}

func (a *Audit) due(t *task, e events.Event, d events.TaskDue, first bool) {
	a.report.Latency.Due.add(e.ID.Ms - d.DueAt)
	a.check(Early, e, e.ID.Ms >= max(t.DueAt, d.DueAt), "%d ms early", max(t.DueAt, d.DueAt)-e.ID.Ms)
	if a.queues[d.Queue].Paused {
		a.check(Paused, e, false, "it becomes due, and queue %q is paused", d.Queue)
	}
	if first {
		return
	}
	a.check(Attempts, e, d.Attempt == t.Attempt+1, "attempt %d follows %d", d.Attempt, t.Attempt)
	a.check(Same, e, t.believed || d.Priority == t.Priority && d.DueAt == t.DueAt,
		"it says priority %d, due at %d, and the task has %d, %d", d.Priority, d.DueAt, t.Priority, t.DueAt)
}

func (a *Audit) started(t *task, e events.Event, d events.TaskStarted, first bool) {
	a.check(Worker, e, d.Worker != "", "it names no worker")
	a.check(Token, e, d.Token != "" && d.Token != t.token, "token %q", d.Token)
	a.check(Limits, e, d.WaitMs >= 0 && (t.believed || d.WaitMs <= max(0, e.ID.Ms-t.DueAt)),
		"it waited for %d ms, and was due at %d", d.WaitMs, t.DueAt)
	if first {
		return
	}
	if t.State == events.StateDue && t.dueSeen > 0 {
		a.report.Latency.Start.add(e.ID.Ms - t.dueSeen)
	}
	if a.check(OneStart, e, d.Attempt > t.Attempt, "attempt %d starts, and %d had started", d.Attempt, t.Attempt) {
		a.check(Attempts, e, d.Attempt == t.Attempt+1, "attempt %d follows %d", d.Attempt, t.Attempt)
	}
	a.check(Closer, e, t.State != events.StateActive, "attempt %d starts, and %d runs", d.Attempt, t.Attempt)
	a.check(MaxAttempts, e, t.Attempts() < t.MaxAttempts, "it starts, and %d of %d attempts are used", t.Attempts(), t.MaxAttempts)
}

func (a *Audit) failed(t *task, e events.Event, d events.TaskFailed) {
	a.check(Known, e, slices.Contains(reasons[:5], d.Reason), "reason %q", d.Reason)
	a.check(Limits, e, len(d.Error) <= maxError, "an error of %d bytes", len(d.Error))
	a.check(Limits, e, d.RunMs >= 0, "it ran for %d ms", d.RunMs)
	if t.believed {
		return
	}
	n := t.Attempts()
	if d.RetryAt == 0 {
		a.check(MaxAttempts, e, n >= t.MaxAttempts || d.Reason == events.ReasonRejected,
			"it fails for good, and %d of %d attempts are used", n, t.MaxAttempts)
		return
	}
	a.check(MaxAttempts, e, n < t.MaxAttempts, "it is tried again, and %d of %d attempts are used", n, t.MaxAttempts)
	a.check(MaxAttempts, e, d.Reason != events.ReasonRejected, "it is tried again, and was rejected")
	a.wait(e, d.RetryAt)
	low, high := t.Backoff.Delay(n, 0).Milliseconds(), t.Backoff.Delay(n, 1).Milliseconds()
	// The script saw a clock that is no later than the entry. If that went back, ids share one ms.
	off := d.RetryAt > e.ID.Ms+high || e.ID.Seq == 0 && d.RetryAt < a.decided(e)+low
	switch {
	case d.Reason == events.ReasonAbandoned:
		a.check(Backoff, e, !off, "it is tried again after %d ms, and the backoff says %d to %d", d.RetryAt-e.ID.Ms, low, high)
	case off:
		a.report.OffBackoff++
	}
}

// wait judges when a task is tried again.
func (a *Audit) wait(e events.Event, retryAt int64) {
	a.check(Limits, e, retryAt >= 0 && retryAt-e.ID.Ms <= events.MaxDelay.Milliseconds(), "it is tried again after %d ms", retryAt-e.ID.Ms)
}

// queue judges an event about a queue.
func (a *Audit) queue(e events.Event) {
	about := e.Data.About()
	before := a.queues[about.Queue]
	_, pause := e.Data.(events.QueuePaused)
	a.check(Paused, e, pause != before.Paused || a.cfg.Trimmed && !before.Told, "%s, and queue %q is so already", e.Data.Type(), about.Queue)
	err := events.ValidateName("queue", about.Queue)
	a.check(Limits, e, err == nil && e.Task == "" && about.Name == "", "it concerns queue %q, task %q, name %q", about.Queue, e.Task, about.Name)
	a.queues[about.Queue] = Queue{Paused: pause, Told: true}
}
