package eventlog_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
)

// many are n requests for tasks of one priority, of several queues.
func many(n int) []eventlog.Request {
	rs := make([]eventlog.Request, n)
	for i := range rs {
		rs[i] = want(fmt.Sprint("t", i))
		rs[i].Queue = fmt.Sprint("q", i%3)
	}
	return rs
}

func TestManyRequestsLieInTheLogAndInTheirQueuesInTheirOrder(t *testing.T) {
	server := testredis.Start(t)
	log := open(t, server.URL(), 3)
	rs := many(2000)
	answers := log.RequestMany(t.Context(), rs)
	if len(answers) != len(rs) {
		t.Fatalf("%d answers to %d requests", len(answers), len(rs))
	}
	order := map[string]int{} // task → its place among the requests
	for i, a := range answers {
		if a.Err != nil || a.Duplicate || a.Task != rs[i].Task || a.Queue != rs[i].Queue || a.State != events.StateWaiting {
			t.Errorf("request %d: %+v", i, a)
		}
		order[a.Task] = i
	}
	total := 0
	for _, p := range log.Partitions() {
		entries := must(log.Range(t.Context(), p, events.ID{}, events.MaxID, 10_000))(newHand(t, log))
		total += len(entries)
		last := -1
		for _, e := range entries {
			if at := order[e.Task]; at <= last || answers[at].Event != e.ID {
				t.Fatalf("task %d has event %s after task %d, and was told of %s", at, e.ID, last, answers[at].Event)
			} else {
				last = at
			}
		}
		for _, queue := range []string{"q0", "q1", "q2"} {
			last := -1
			for _, member := range server.Client().ZRange(t.Context(), p.Waiting(queue), 0, -1).Val() {
				_, task, _ := strings.Cut(member, ":")
				if at := order[task]; at <= last || rs[at].Queue != queue {
					t.Fatalf("task %d of queue %s is in %s, after task %d", at, rs[at].Queue, queue, last)
				} else {
					last = at
				}
			}
		}
	}
	if total != len(rs) {
		t.Errorf("%d events, want %d", total, len(rs))
	}
	if n := calls(t, server); n > 3+len(rs)/128 {
		t.Errorf("%d requests took %d calls", len(rs), n)
	}
}

func TestManyRequestsMakeWhatTheyWouldMakeOneByOne(t *testing.T) {
	server := testredis.Start(t)
	conn := open(t, server.URL(), 1).Conn()
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		rs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) eventlog.Request {
			r := want(rapid.StringMatching(`[a-h][0-9]?`).Draw(t, "task")) // some twice
			r.Queue = rapid.SampledFrom([]string{"q", "r", "1"}).Draw(t, "queue")
			r.Priority = rapid.IntRange(0, 3).Draw(t, "priority")
			r.RequestID = rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "token")
			if rapid.Bool().Draw(t, "delayed") {
				r.Delay = hour
			}
			return r
		}), 1, 300).Draw(t, "requests")
		var stories, answers [2][]string
		for i, ask := range []func(*eventlog.Log) []eventlog.Requested{
			func(log *eventlog.Log) []eventlog.Requested { return log.RequestMany(t.Context(), rs) },
			func(log *eventlog.Log) (list []eventlog.Requested) {
				for _, r := range rs {
					receipt, err := log.Request(t.Context(), r)
					list = append(list, eventlog.Requested{Receipt: receipt, Err: err})
				}
				return list
			},
		} {
			log := must(eventlog.Open(t.Context(), conn, eventlog.Config{Prefix: fmt.Sprintf("r%d-%d", round, i)}))(t)
			h := newHand(t, log)
			must(h.rdb.Set(t.Context(), h.p.Task("a"), "no row", 0).Result())(t) // who asks for this task fails
			for _, a := range ask(log) {
				answers[i] = append(answers[i], fmt.Sprint(a.Task, a.Queue, a.State, a.Duplicate, a.Err))
			}
			all := h.all()
			for _, e := range all {
				d := e.Data.(events.TaskRequested)
				d.DueAt -= e.ID.Ms
				stories[i] = append(stories[i], fmt.Sprintf("%s %+v", e.Task, d))
			}
			h.agree(all)
			stories[i] = append(stories[i], slices.Sorted(maps.Keys(h.rdb.SMembersMap(t.Context(), h.p.Queues).Val()))...)
			stories[i] = append(stories[i], slices.Sorted(maps.Keys(h.rdb.SMembersMap(t.Context(), h.p.Ready).Val()))...)
			for _, queue := range []string{"q", "r", "1"} {
				for _, member := range h.waiting(queue) {
					_, task, _ := strings.Cut(member, ":")
					stories[i] = append(stories[i], queue+" "+task)
				}
			}
		}
		if !slices.Equal(answers[0], answers[1]) {
			t.Errorf("together they are answered\n%s\none by one\n%s", strings.Join(answers[0], "\n"), strings.Join(answers[1], "\n"))
		}
		if !slices.Equal(stories[0], stories[1]) {
			t.Errorf("together they make\n%s\none by one\n%s", strings.Join(stories[0], "\n"), strings.Join(stories[1], "\n"))
		}
	})
}

// Whatever is lost in the middle of many: each was taken once, each is told so, and their order is kept.
func TestManyRequestsAreTakenOnceAndInOrderWhateverTheNetworkLoses(t *testing.T) {
	p, behind, direct := both(t, 1)
	rs := many(300) // of three calls
	must(behind.log.Request(t.Context(), want("first")))(t)
	for _, times := range []int{1, 2, faults.Always} {
		for _, f := range faults.Every(times) {
			for skip := range 3 {
				must(direct.rdb.FlushDB(t.Context()).Result())(t)
				seen := 0
				only := f.Only
				f.Only = func(c faults.Command) bool {
					if !c.Calls() || only != nil && !only(c) {
						return false
					}
					seen++
					return seen > skip
				}
				hits := p.Set(f)
				answers := behind.log.RequestMany(t.Context(), rs)
				if p.Set(faults.Fault{}) == hits {
					t.Errorf("%s: the fault did not happen", f)
				}
				f.Only = only
				gone := slices.IndexFunc(answers, func(a eventlog.Requested) bool { return a.Err != nil })
				if gone >= 0 {
					for _, a := range answers[gone:] {
						if !eventlog.Unavailable(a.Err) {
							t.Errorf("%s: after one that is unknown: %+v", f, a)
						}
					}
					answers = slices.Concat(answers[:gone], behind.log.RequestMany(t.Context(), rs[gone:]))
				}
				list := direct.all()
				if len(list) != len(rs) {
					t.Fatalf("%s after call %d: %d events, want %d", f, skip, len(list), len(rs))
				}
				for i, a := range answers {
					if a.Err != nil || a.Duplicate || a.Event != list[i].ID || list[i].Task != rs[i].Task {
						t.Fatalf("%s after call %d: request %d is answered %+v, and the log has %s of %s", f, skip, i, a, list[i].ID, list[i].Task)
					}
				}
			}
		}
	}
}

func TestWhatIsAnsweredBeforeItsContextEndsIsTold(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	ctx, stop := context.WithCancel(t.Context())
	rs := many(20_000)
	h := newHand(t, log)
	var watching sync.WaitGroup
	watching.Go(func() {
		defer stop()
		for must(log.Len(t.Context(), h.p))(h) < int64(len(rs)/10) { // by then some were answered
			continue
		}
	})
	answers := log.RequestMany(ctx, rs)
	watching.Wait()
	taken := 0
	for _, a := range answers {
		if a.Err == nil {
			taken++
		}
	}
	if taken == 0 || taken == len(rs) {
		t.Fatalf("%d of %d were taken: this proves nothing", taken, len(rs))
	}
	told := slices.IndexFunc(answers, func(a eventlog.Requested) bool { return a.Err != nil })
	if told != taken {
		t.Errorf("%d were taken, and number %d was not", taken, told)
	}
	if n := must(log.Len(t.Context(), h.p))(h); n < int64(taken) {
		t.Errorf("%d were said to be taken, and the log holds %d", taken, n)
	}
}
