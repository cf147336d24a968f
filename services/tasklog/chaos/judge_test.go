package main

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
)

// story is three records that agree, until a test changes one of them.
type story struct {
	asked   []asked
	handled []handled
	log     []events.Event
	unwell  string // the worker that had trouble
}

// ms is when the n-th event of a story happened.
func ms(n int) int64 { return int64(1_764_000_000_000 + 1000*n) }

// good tells of a task that was abandoned once, failed once, and was completed by its third attempt.
func good() story {
	label := events.Label{Queue: "default", Name: quick}
	def := events.Definition{Payload: json.RawMessage("{}"), MaxAttempts: 5}
	bodies := []events.Data{
		events.TaskRequested{Label: label, Definition: def, DueAt: ms(0)},
		events.TaskDue{Label: label, Attempt: 1, DueAt: ms(0), From: events.StateWaiting},
		events.TaskStarted{Label: label, Attempt: 1, Worker: "w1", Token: "t1"},
		events.TaskFailed{Label: label, Attempt: 1, Worker: "w1", Reason: events.ReasonAbandoned, RetryAt: ms(3)},
		events.TaskDue{Label: label, Attempt: 2, DueAt: ms(3), From: events.StateRetrying},
		events.TaskStarted{Label: label, Attempt: 2, Worker: "w2", Token: "t2"},
		events.TaskFailed{Label: label, Attempt: 2, Worker: "w2", Reason: events.ReasonError, RetryAt: ms(6)},
		events.TaskDue{Label: label, Attempt: 3, DueAt: ms(6), From: events.StateRetrying},
		events.TaskStarted{Label: label, Attempt: 3, Worker: "w3", Token: "t3"},
		events.TaskCompleted{Label: label, Attempt: 3, Worker: "w3"},
	}
	s := story{asked: []asked{{ID: "a", Name: quick, Accepted: true, Fresh: 1}}, unwell: "w1"}
	for n, body := range bodies {
		s.log = append(s.log, events.Event{ID: events.ID{Ms: ms(n)}, Task: "a", Data: body})
	}
	s.run(1, 2, 6, 200) // its worker stood still, and it went on beside the second attempt
	s.run(2, 5, 6, 500)
	s.run(3, 8, 9, 200)
	return s
}

// run adds a run of a handler, from shortly after the event from to shortly before the event to.
func (s *story) run(attempt, from, to, status int) {
	s.handled = append(s.handled, handled{
		Task: "a", Attempt: attempt, Status: status,
		Began: time.UnixMilli(ms(from) + 100), Ended: time.UnixMilli(ms(to) - 100),
	})
}

// drop removes events from the log.
func (s *story) drop(n ...int) {
	slices.Reverse(n)
	for _, i := range n {
		s.log = slices.Delete(s.log, i, i+1)
	}
}

func (s *story) judge() verdict {
	told := newHistory()
	for _, e := range s.log {
		told.add(e)
	}
	return judge(s.asked, s.handled, told, func(worker string, _ time.Time) bool { return worker == s.unwell })
}

func TestRecordsThatAgreeAreFoundRight(t *testing.T) {
	s := good()
	v := s.judge()
	if len(v.wrong) > 0 {
		t.Errorf("wrong: %q", v.wrong)
	}
	if v.tasks != 1 || v.accepted != 1 || v.runs != 3 || v.again != 2 {
		t.Errorf("%+v", v)
	}
	if want := map[string]int{"abandoned": 1, "error": 1}; !maps.Equal(v.because, want) {
		t.Errorf("other runs because of %v, want %v", v.because, want)
	}
}

func TestWhateverDoesNotAgreeIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(s *story)
		column func(v verdict) int
	}{
		"an accepted task is not in the log": {
			func(s *story) { s.asked = append(s.asked, asked{ID: "b", Accepted: true}) },
			func(v verdict) int { return v.lost },
		},
		"an acknowledged cancellation is not in the log": {
			func(s *story) { s.asked[0].Cancels, s.asked[0].Cancelled = 1, 1 },
			func(v verdict) int { return v.lost },
		},
		"an acknowledged retry is not in the log": {
			func(s *story) { s.asked[0].Retries, s.asked[0].Retried = 1, 1 },
			func(v verdict) int { return v.lost },
		},
		"a refused task is in the log": {
			func(s *story) { s.asked[0] = asked{ID: "a", Refused: true} },
			func(v verdict) int { return v.strangers },
		},
		"a task is in the log that nobody asked for": {
			func(s *story) { s.asked = nil },
			func(v verdict) int { return v.strangers },
		},
		"two clients made one task": {
			func(s *story) { s.asked[0].Fresh = 2 },
			func(v verdict) int { return v.strangers },
		},
		"a task is not final": {
			func(s *story) { s.drop(9) },
			func(v verdict) int { return v.unfinished },
		},
		"a task was completed twice": {
			func(s *story) {
				again := s.log[9]
				again.ID.Seq++
				s.log = append(s.log, again)
			},
			func(v verdict) int { return v.twice },
		},
		"an attempt started before the last one ended": {
			func(s *story) { s.drop(3) },
			func(v verdict) int { return v.illegal },
		},
		"an attempt is missing": {
			func(s *story) { s.drop(4, 5, 6) },
			func(v verdict) int { return v.illegal },
		},
		"an attempt ran twice": {
			func(s *story) { s.run(3, 8, 9, 200) },
			func(v verdict) int { return v.unexplained },
		},
		"an attempt was abandoned, and its worker was well": {
			func(s *story) { s.unwell = "w2" },
			func(v verdict) int { return v.robbed },
		},
		"an attempt ran that never started": {
			func(s *story) { s.run(4, 8, 9, 200) },
			func(v verdict) int { return v.unexplained },
		},
		"a task ran that is not in the log": {
			func(s *story) { s.handled = append(s.handled, handled{Task: "b", Attempt: 1}) },
			func(v verdict) int { return v.unexplained },
		},
		"attempts ran at once, and the first had failed": {
			func(s *story) { s.handled[1].Ended = s.handled[2].Began.Add(time.Second) },
			func(v verdict) int { return v.unexplained },
		},
		"an attempt failed in the log, and its handler had done it": {
			func(s *story) { s.handled[1].Status = 200 },
			func(v verdict) int { return v.unexplained },
		},
		"a task was completed, and no handler did it": {
			func(s *story) { s.handled = s.handled[:2] },
			func(v verdict) int { return v.unexplained },
		},
		"a task ran again after it was completed": {
			func(s *story) {
				done := s.log[9].Data.(events.TaskCompleted)
				s.log = append(s.log, events.Event{
					ID: events.ID{Ms: ms(10)}, Task: "a",
					Data: events.TaskStarted{Label: done.Label, Attempt: 4, Worker: "w4", Token: "t4"},
				})
				s.run(4, 10, 11, 200)
			},
			func(v verdict) int { return v.unexplained },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			test.damage(&s)
			v := s.judge()
			if test.column(v) == 0 || len(v.wrong) == 0 {
				t.Errorf("it is not found: %+v", v)
			}
			if r := (&result{verdict: v}); r.ok() {
				t.Error("the run is called a good one")
			}
		})
	}
}

func TestAnUnknownAnswerIsNoLossWhetherTheTaskIsThereOrNot(t *testing.T) {
	s := good()
	s.asked = append(s.asked, asked{ID: "b", Unknown: 1})
	s.asked[0] = asked{ID: "a", Unknown: 2}
	v := s.judge()
	if len(v.wrong) > 0 || v.unknown != 3 || v.recovered != 1 || v.left != 1 {
		t.Errorf("%+v", v)
	}
}
