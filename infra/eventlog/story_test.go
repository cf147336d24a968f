package eventlog_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// A story is played by verbs, each a decision and its arguments:
//
//	request a [priority=1] [delay=1h]   due [room=2]   promote a   start a worker=w1 [lease=1h] [attempt=1]
//	complete a worker=w1 attempt=1   fail a worker=w1 attempt=1 [retry=0s]   release a worker=w1 [attempt=1] [retry=1h]
//	extend a worker=w1 attempt=1   sweep [retry=0s]   cancel a   retry a [request=r1]   pause   resume   mend a
//
// and what befalls the ledgers: expire-lease a, lose a. What is refused, and what a sweep or a mend
// found, is printed, and then what the log tells of each task.
func TestStories(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 1)
		datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
			h := newHand(t, log)
			if err := h.rdb.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			s := &story{hand: h, stale: map[string]bool{}}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				if d.Cmd != "play" {
					t.Fatalf("%s: what is %s?", d.Pos, d.Cmd)
				}
				return s.play(d.Input)
			})
		})
	})
}

type story struct {
	*hand
	tasks []string
	stale map[string]bool
}

// play plays verbs and returns what they answered, if that is not just "ok", and the log.
func (s *story) play(script string) string {
	var out strings.Builder
	for _, line := range strings.FieldsFunc(script, func(r rune) bool { return r == ';' || r == '\n' }) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		task, args := "", map[string]string{}
		for _, w := range words[1:] {
			if key, value, found := strings.Cut(w, "="); found {
				args[key] = value
			} else {
				task = w
			}
		}
		if answer := s.verb(words[0], task, args); answer != "" {
			fmt.Fprintf(&out, "%s: %s\n", strings.TrimSpace(line), answer)
		}
	}
	for _, task := range s.tasks {
		fmt.Fprintf(&out, "%s is %s: %s\n", task, s.task(task).State, s.tell(task))
	}
	s.hand.stale = s.stale
	s.agree(s.all(), s.tasks...)
	return out.String()
}

func (s *story) verb(verb, task string, args map[string]string) string {
	s.Helper()
	ctx, l := s.Context(), s.log
	said := func(_ any, err error) string {
		if err != nil {
			why := err.Error()
			if !strings.HasPrefix(why, "fenced") { // leave out the task and the attempt, which the line names
				_, why, _ = strings.Cut(why, ": ")
			}
			return why
		}
		return ""
	}
	switch verb {
	case "request":
		r := want(task)
		r.Priority, r.Delay = s.number(args["priority"]), *s.duration(args["delay"], 0)
		r.RequestID = args["request"]
		receipt := s.request(r)
		if receipt.Duplicate {
			return "duplicate of " + receipt.Task + ", which is " + string(receipt.State)
		}
		if !slices.Contains(s.tasks, task) {
			s.tasks = append(s.tasks, task)
		}
	case "promote":
		row := s.task(task)
		s.await(row.DueAt)
		must(l.Promote(ctx, s.p, "q", []eventlog.Promotion{{Task: task, Queue: "q", Priority: row.Priority, Requested: row.Events[0]}}))(s)
	case "due":
		room := s.number(args["room"])
		if room == 0 {
			room = 1000
		}
		d := must(l.Due(ctx, s.p, "q", room, s.waiting("q")))(s)
		if d.Paused {
			return "paused"
		}
		return ""
	case "start":
		a := s.take(task, args["worker"])
		if args["attempt"] != "" {
			a.Number = s.number(args["attempt"])
		}
		return said(l.Start(ctx, a, *s.duration(args["lease"], hour)))
	case "complete":
		return said(l.Complete(ctx, s.attempt(task, args), 0, nil))
	case "fail":
		return said(l.Fail(ctx, s.attempt(task, args), 0, events.ReasonError, "no luck", s.duration(args["retry"], -1)))
	case "release":
		a := s.attempt(task, args)
		if args["attempt"] == "" {
			a = s.take(task, args["worker"])
		}
		return said(l.Release(ctx, a, events.ReasonShutdown, s.duration(args["retry"], -1)))
	case "extend":
		return said(nil, must(l.Extend(ctx, s.p, hour, []eventlog.Attempt{s.attempt(task, args)}))(s)[0])
	case "sweep":
		overdue := must(l.Sweep(ctx, s.p, hour, hour))(s).Overdue
		if len(overdue) == 0 {
			return "nobody is overdue"
		}
		slices.Sort(overdue)
		for _, id := range overdue {
			row := s.task(id)
			must(l.Abandon(ctx, id, row.Attempt, row.Worker, 0, s.duration(args["retry"], -1)))(s)
		}
		return strings.Join(append([]string{"abandoned"}, overdue...), " ")
	case "cancel":
		return said(l.Cancel(ctx, task, "a story", ""))
	case "retry":
		return said(l.Retry(ctx, task, "a story", args["request"]))
	case "pause":
		must(l.Pause(ctx, "q", "a story"))(s)
	case "resume":
		must(l.Resume(ctx, "q", "a story"))(s)
	case "mend":
		s.stale[task] = true
		return must(l.Mend(ctx, s.p, task, "q"))(s)
	case "expire-lease":
		s.expireLease(task)
	case "lose":
		must(s.rdb.ZRem(ctx, s.p.Leases, task).Result())(s)
		for _, id := range s.dispatched("q")[task] {
			must(s.rdb.XDel(ctx, s.p.Due("q"), id.String()).Result())(s)
		}
	default:
		s.Fatalf("what is %s?", verb)
	}
	return ""
}

func (s *story) attempt(task string, args map[string]string) eventlog.Attempt {
	who := args["worker"]
	return eventlog.Attempt{Task: task, Queue: "q", Number: s.number(args["attempt"]), Token: who + "-token", Worker: who}
}

func (s *story) number(arg string) int {
	s.Helper()
	if arg == "" {
		return 0
	}
	return must(strconv.Atoi(arg))(s)
}

// duration reads an argument. Without it, it is other, or nil when that is negative.
func (s *story) duration(arg string, other time.Duration) *time.Duration {
	s.Helper()
	if arg != "" {
		return new(must(time.ParseDuration(arg))(s))
	}
	if other < 0 {
		return nil
	}
	return &other
}
