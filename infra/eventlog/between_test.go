package eventlog_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis/faults"
)

// lost is a fault that takes the answer of the next call of a script, or the call itself, and lets something happen
// before the client's next command.
func lost(kind faults.Kind, script string, between func()) faults.Fault {
	taken := false
	between = sync.OnceFunc(between)
	return faults.Fault{Kind: kind, Times: faults.Always, Only: func(c faults.Command) bool {
		if taken {
			between()
			return false
		}
		taken = c.Script == script
		return taken
	}}
}

// What a person did knowing of a decision stays, although who asked for that decision was not told and asks again.
func TestACancelWhoseAnswerIsLostDoesNotUndoARetry(t *testing.T) {
	p, behind, direct := both(t, 1)
	in[events.StateCancelled](behind, "before") // the proxy has seen the script
	for state, put := range in {
		if state.Final() {
			continue
		}
		task := string(state)
		put(direct, task)
		before := direct.tell(task)
		p.Set(lost(faults.DropReply, "cancel.lua", func() {
			if _, err := direct.log.Retry(t.Context(), task, "a person", "request 1"); err != nil {
				t.Error(err)
			}
		}))
		_, err := behind.log.Cancel(t.Context(), task, "test", "")
		if hits := p.Set(faults.Fault{}); hits == 0 {
			t.Fatal("the fault did not happen")
		}
		if refused, ok := errors.AsType[*eventlog.RefusedError](err); !ok || refused.State != events.StateWaiting {
			t.Errorf("%s: the cancel ends with %v", state, err)
		}
		direct.expect(task, before+" Cancelled("+task+") RetryRequested(cancelled)")
		must(direct.log.Cancel(t.Context(), task, "who asks anew", ""))(direct)
		direct.expect(task, before+" Cancelled("+task+") RetryRequested(cancelled) Cancelled(waiting)")
	}
}

func TestAPauseWhoseAnswerIsLostDoesNotUndoAResume(t *testing.T) {
	p, behind, direct := both(t, 1)
	set := map[bool]func(l *eventlog.Log, queue, by string) (bool, error){
		true:  func(l *eventlog.Log, queue, by string) (bool, error) { return l.Pause(t.Context(), queue, by) },
		false: func(l *eventlog.Log, queue, by string) (bool, error) { return l.Resume(t.Context(), queue, by) },
	}
	must(set[true](behind.log, "before", "test"))(behind) // the proxy has seen the script
	direct.requested("a")
	for _, pause := range []bool{true, false} {
		for _, was := range []bool{true, false} { // what the queue is before
			for kind, name := range map[faults.Kind]string{faults.DropReply: "answer", faults.DropRequest: "call"} {
				must(set[was](direct.log, "q", "setup"))(direct)
				n := len(direct.all())
				p.Set(lost(kind, "pause.lua", func() { must(set[!pause](direct.log, "q", "a person"))(direct) }))
				_, err := set[pause](behind.log, "q", "test")
				if hits := p.Set(faults.Fault{}); hits == 0 || err != nil {
					t.Fatalf("%d faults, %v", hits, err)
				}
				list := direct.all()[n:]
				now := must(direct.rdb.SIsMember(t.Context(), direct.p.Paused, "q").Result())(direct)
				personActed := len(list) > 0 && by(list[len(list)-1]) == "a person"
				// Who changed something knew what was; who found nothing to change was there before.
				if personActed && now == pause || !personActed && now != pause {
					t.Errorf("pause %t, was paused %t, the %s is lost: paused %t after %v", pause, was, name, now, list)
				}
				if kind == faults.DropReply && !personActed {
					t.Errorf("pause %t, was paused %t: nobody came in between: this proves nothing", pause, was)
				}
			}
		}
	}
}

func by(e events.Event) string {
	switch d := e.Data.(type) {
	case events.QueuePaused:
		return d.By
	case events.QueueResumed:
		return d.By
	default:
		return ""
	}
}
