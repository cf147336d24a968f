package eventlog_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// A model plays random decisions against a log and holds, after each, everything that Redis knows
// against the fold of the log from its first entry.
type model struct {
	*hand
	t        *rapid.T
	tasks    map[string]events.Task // as the log tells them now
	attempts []eventlog.Attempt     // every one that a worker ever had, the stale ones too
	log      []events.Event         // so far
	last     func() string          // the last decision, to be asked for again
	answer   string                 // what it answered
	retries  int
	untold
}

var (
	modelTasks = []string{"a", "b", "c"}
	kind       = regexp.MustCompile(`\d+,|\(\d+,w\d\)`) // what a word says beside the kind of event
	payloads   = []string{
		``, `null`, `{"a":[],"b":{},"n":12345678901234567890}`, `"%d%s}\\u0000\u2028"`, `{"state":"due","":{"":""}}`, `"<b>&é"`,
	}
)

// queueOf says which queue a task of the model has: two of them share one.
func queueOf(task string) string {
	if task == "c" {
		return "other"
	}
	return "q"
}

func TestTheScriptsAndEvolveAgreeWhateverHappens(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 1)
		embedded := strings.HasSuffix(t.Name(), "miniredis")
		if embedded {
			fewerChecks(t) // it runs scripts ten times as slowly
		}
		seen := map[string]int{}
		rapid.Check(t, func(rt *rapid.T) {
			m := &model{hand: newHand(rt, log), t: rt, untold: newUntold()}
			m.stale = map[string]bool{}
			if err := m.rdb.FlushAll(rt.Context()).Err(); err != nil {
				rt.Fatal(err)
			}
			for _, q := range []string{"q", "other"} {
				if err := m.rdb.XGroupCreateMkStream(rt.Context(), m.p.Due(q), eventlog.Group, "0").Err(); err != nil {
					rt.Fatal(err)
				}
			}
			rt.Repeat(map[string]func(*rapid.T){"": m.check, "step": m.step})
			for _, e := range m.all() {
				seen[kind.ReplaceAllString(word(e.Data), "")]++
			}
			seen["spared"] += m.spared
		})
		for _, must := range []string{
			"Requested", "Requested(delayed)", "Due", "Due(delayed)", "Due(retrying)", "Started", "Completed",
			"Cancelled(waiting)", "Cancelled(delayed)",
			"Failed(error)", "Failed(error,retry)", "Failed(abandoned)", "Failed(abandoned,retry)",
			"Released(due,shutdown)", "Released(due,shutdown,retry)", "Released(active,shutdown)", "Released(active,shutdown,retry)",
			"RetryRequested(failed)", "RetryRequested(cancelled)", "Paused(q)", "Resumed(q)", "spared",
		} {
			if seen[must] == 0 && !embedded {
				t.Errorf("%s never happened: this proves less than it seems", must)
			}
		}
	})
}

// step takes one decision, or lets something befall the ledgers. It draws among what fits the states
// that tasks are in, for most of a free choice would be refused; what is refused is tried seldom.
func (m *model) step(t *rapid.T) {
	m.tester = t
	running, due := m.has(events.StateActive), m.has(events.StateDue)
	moves := []struct {
		name   string
		weight int
		fits   bool
		do     func(*rapid.T)
	}{
		{"request", 4, m.has(events.StateNone), m.askFor},
		{"due", 4, m.has(events.StateWaiting, events.StateDelayed, events.StateRetrying), m.makeDue},
		{"promote", 4, m.has(events.StateDelayed, events.StateRetrying), m.promote},
		{"run", 6, due, m.runDue},
		{"start", 2, due, m.startAny},
		{"extend", 1, running, m.extend},
		{"complete", 1, running, m.complete},
		{"fail", 4, running, m.fail},
		{"release", 3, running || due, m.release},
		{"expire", 1, running, m.expire},
		{"abandon", 3, running, m.abandon},
		{"repeat", 4, m.last != nil, m.repeat},
		{"cancel", 1, running || due || m.has(events.StateWaiting, events.StateRetrying, events.StateDelayed), m.cancel},
		{"retry", 3, m.has(events.StateFailed, events.StateCancelled), m.retry},
		{"lose", 2, true, m.lose},
		{"grab", 1, due, m.grab},
		{"unlock", 2, true, m.unlock},
		{"away", 1, running, m.away},
		{"pause", 1, true, m.pause},
		{"resume", 6, m.paused("q"), m.resume},
	}
	all := odd(t, "anything")
	var fit []string
	do := map[string]func(*rapid.T){}
	for _, move := range moves {
		if move.fits || all {
			fit, do[move.name] = append(fit, slices.Repeat([]string{move.name}, move.weight)...), move.do
		}
	}
	do[rapid.SampledFrom(fit).Draw(t, "move")](t)
}

// has reports whether a task is in one of these states.
func (m *model) has(states ...events.State) bool {
	return slices.ContainsFunc(modelTasks, func(id string) bool { return slices.Contains(states, m.tasks[id].State) })
}

// fewerChecks lets rapid play a quarter of its cases until the test ends.
func fewerChecks(t *testing.T) {
	t.Helper()
	checks := flag.Lookup("rapid.checks").Value
	before := checks.String()
	n, err := strconv.Atoi(before)
	if err != nil {
		t.Fatal(err)
	}
	if err := checks.Set(strconv.Itoa(max(1, n/4))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := checks.Set(before); err != nil {
			t.Error(err)
		}
	})
}

// check is the invariant: the log is legal, and rows and ledgers follow from it.
func (m *model) check(t *rapid.T) {
	m.tester = t
	m.log = m.all()
	m.tasks = m.agree(m.log)
	m.checkUntold()
}

// decide takes a decision and remembers it. It ends the test unless the decision ends as wanted and
// appends so many events.
func (m *model) decide(what string, events int, f func() string, want string) {
	m.Helper()
	m.t.Logf("%s → %s", what, want)
	m.last = f
	m.answer = f()
	if m.answer != want {
		m.Fatalf("%s: %s, want %s", what, m.answer, want)
	}
	if n := int(must(m.logLen())(m)); n != len(m.log)+events {
		m.Fatalf("%s: appended %d events, want %d", what, n-len(m.log), events)
	}
}

func (m *model) logLen() (int64, error) { return m.hand.log.Len(m.Context(), m.p) }

// repeat asks again for what was decided last: nothing may change, and the answer is the same.
func (m *model) repeat(t *rapid.T) {
	if m.last == nil {
		t.Skip("nothing was decided yet")
	}
	m.tester = t
	before := must(m.logLen())(m)
	if again := m.last(); again != m.answer {
		m.Fatalf("asked again it answers %s, and at first %s", again, m.answer)
	}
	if after := must(m.logLen())(m); after != before {
		m.Fatalf("asked again it appended %d events", after-before)
	}
}

// outcome is what a decision answered, as one word.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, eventlog.ErrFenced):
		return "fenced"
	case errors.Is(err, eventlog.ErrLocked):
		return "locked"
	case errors.Is(err, eventlog.ErrNotFound):
		return "not found"
	}
	if refused, ok := errors.AsType[*eventlog.RefusedError](err); ok {
		return "refused " + string(refused.State)
	}
	return err.Error()
}

// odd draws what happens seldom.
func odd(t *rapid.T, what string) bool { return rapid.IntRange(0, 9).Draw(t, what) == 9 }

// anyTask draws a task, and seldom one that is in none of these states.
func (m *model) anyTask(t *rapid.T, states ...events.State) string {
	if len(states) > 0 && !odd(t, "any state") {
		fit := slices.DeleteFunc(slices.Clone(modelTasks), func(id string) bool { return !slices.Contains(states, m.tasks[id].State) })
		if len(fit) == 0 {
			t.Skip("no task is in such a state")
		}
		return rapid.SampledFrom(fit).Draw(t, "task")
	}
	return rapid.SampledFrom(modelTasks).Draw(t, "task")
}

func (m *model) askFor(t *rapid.T) {
	id := m.anyTask(t, events.StateNone)
	jitter := rapid.SampledFrom([]float64{0, 0.2, 1}).Draw(t, "jitter")
	r := eventlog.Request{
		Task: id, Label: events.Label{Queue: queueOf(id), Name: rapid.SampledFrom([]string{"test", `q"\é`}).Draw(t, "name")},
		Definition: events.Definition{
			Payload:  json.RawMessage(rapid.SampledFrom(payloads).Draw(t, "payload")),
			Priority: rapid.SampledFrom([]int{0, 1, events.MaxPriority}).Draw(t, "priority"), MaxAttempts: rapid.IntRange(1, 2).Draw(t, "attempts"),
			Backoff:   events.Backoff{Type: events.BackoffFixed, Jitter: &jitter},
			RequestID: rapid.SampledFrom([]string{"r1", "r2", ""}).Draw(t, "request"),
		},
	}
	if len(r.Payload) == 0 {
		r.Payload = nil
	}
	switch rapid.SampledFrom([]string{"now", "soon", "past", "late"}).Draw(t, "when") {
	case "soon":
		r.Delay = 2 * time.Millisecond
	case "past":
		r.RunAt = time.UnixMilli(1)
	case "late":
		r.Delay = hour
	}
	n, duplicate := 1, false
	if have := m.tasks[id]; have.State != events.StateNone {
		n, duplicate = 0, have.RequestID != r.RequestID
	}
	m.decide(fmt.Sprintf("request %s %s", id, r.RequestID), n, func() string {
		receipt := must(m.hand.log.Request(m.Context(), r))(m)
		return fmt.Sprint("duplicate ", receipt.Duplicate)
	}, fmt.Sprint("duplicate ", duplicate))
}

// promote moves whatever is due by now; after it, the delayed ones have still a while to go.
func (m *model) promote(t *rapid.T) {
	id := m.anyTask(t, events.StateDelayed, events.StateRetrying)
	task := m.tasks[id]
	if task.State == events.StateNone || task.DueAt > must(m.hand.log.Now(m.Context()))(m).UnixMilli()+1000 {
		t.Skip("not due for long")
	}
	m.await(task.DueAt)
	m.decide("promote "+id, 0, func() string {
		p := eventlog.Promotion{Task: id, Queue: task.Queue, Priority: task.Priority, Requested: task.Events[0]}
		must(m.hand.log.Promote(m.Context(), m.p, task.Queue, []eventlog.Promotion{p}))(m)
		return "ok"
	}, "ok")
}

// makeDue makes tasks due, and now and then more than fit.
func (m *model) makeDue(t *rapid.T) {
	queue := rapid.SampledFrom([]string{"q", "q", "other"}).Draw(t, "queue")
	members := m.waiting(queue)
	if len(members) == 0 {
		t.Skip("nothing waits")
	}
	room := rapid.IntRange(1, 3).Draw(t, "room")
	n, paused := 0, m.paused(queue)
	if !paused {
		entries := 0
		for _, ids := range m.dispatched(queue) {
			entries += len(ids)
		}
		n = min(len(members), max(0, room-entries))
	}
	m.decide("due "+queue, n, func() string {
		d := must(m.hand.log.Due(m.Context(), m.p, queue, room, members))(m)
		return fmt.Sprint("paused ", d.Paused)
	}, fmt.Sprint("paused ", paused))
}

// paused says whether a queue is, as the log tells.
func (m *model) paused(queue string) (paused bool) {
	for _, e := range m.log {
		switch d := e.Data.(type) {
		case events.QueuePaused:
			paused = paused && d.Queue != queue || d.Queue == queue
		case events.QueueResumed:
			paused = paused && d.Queue != queue
		default:
		}
	}
	return paused
}

// startAny starts a dispatched task, or tries what a worker does that comes late, finds the mutex taken, or has it
// since a start of which it heard nothing.
func (m *model) startAny(t *rapid.T) {
	id := m.anyTask(t, events.StateDue)
	task := m.tasks[id]
	if task.State == events.StateNone {
		t.Skip("no such task")
	}
	a := m.take(id, rapid.SampledFrom([]string{"w1", "w2"}).Draw(t, "worker"))
	a.Token += fmt.Sprint(len(m.attempts))
	if odd(t, "other attempt") {
		a.Number += rapid.SampledFrom([]int{-1, 1}).Draw(t, "by")
	}
	if odd(t, "with the mutex") {
		m.lock(a)
	}
	free := m.mutex[id] == "" || m.mutex[id] == a.Token
	n, want := 0, "fenced"
	if task.State == events.StateDue && a.Number == task.Attempt+1 {
		if n, want = 0, "locked"; free {
			n, want = 1, "ok"
		}
	} else if task.State == events.StateDue {
		t.Skip("the entry of a due task names its attempt") // a wrong one would be removed, and mended
	}
	m.begin(a, n, want)
}

func (m *model) begin(a eventlog.Attempt, n int, want string) {
	m.decide(fmt.Sprintf("start %s %d %s", a.Task, a.Number, a.Token), n, func() string {
		_, err := m.hand.log.Start(m.Context(), a, hour)
		return outcome(err)
	}, want)
	if want == "ok" {
		m.grabbed(a)
		m.over[a.Task] = false
	}
	a.Entry = events.ID{}
	m.attempts = append(m.attempts, a)
}

// runDue is the way that most tasks go: it leads one as far as to a worker that runs it.
func (m *model) runDue(t *rapid.T) {
	i := slices.IndexFunc(modelTasks, func(id string) bool { return m.tasks[id].State == events.StateDue && m.locked(id) == "" })
	if i < 0 {
		t.Skip("nothing is due and unlocked")
	}
	a := m.take(modelTasks[i], "w1")
	a.Token += fmt.Sprint(len(m.attempts))
	m.begin(a, 1, "ok")
}

// anyAttempt returns one that some worker had or has; mostly one that still runs.
func (m *model) anyAttempt(t *rapid.T) eventlog.Attempt {
	if len(m.attempts) == 0 {
		t.Skip("nobody had a task yet")
	}
	run := slices.DeleteFunc(slices.Clone(m.attempts), func(a eventlog.Attempt) bool { return !holds(m.tasks[a.Task], a) })
	if !odd(t, "stale") {
		if len(run) == 0 {
			t.Skip("nobody runs a task")
		}
		return rapid.SampledFrom(run).Draw(t, "attempt")
	}
	return rapid.SampledFrom(m.attempts).Draw(t, "attempt")
}

// fence says what comes of a decision of an attempt: it may go on while it holds the task, and hears
// the same again when it was the one that ended it.
func (m *model) fence(a eventlog.Attempt, token string) (int, string) {
	task := m.tasks[a.Task]
	switch {
	case holds(task, a):
		return 1, "ok"
	case task.Attempt == a.Number && task.Token == token:
		return 0, "ok"
	}
	return 0, "fenced"
}
