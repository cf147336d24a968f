package eventlog_test

import (
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestAPausedQueueMakesNothingDueUntilItIsResumed(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		running := h.running("running")
		h.requested("waiting")
		for _, want := range []bool{true, false} {
			if changed := must(h.log.Pause(t.Context(), "q", "test"))(h); changed != want {
				t.Errorf("pause: changed %t, want %t", changed, want)
			}
		}
		h.due("q")
		h.requested("later")
		h.due("q")
		must(h.log.Complete(t.Context(), running, 0, nil))(h) // what runs goes on
		h.expect("waiting", "Requested")
		for _, want := range []bool{true, false} {
			if changed := must(h.log.Resume(t.Context(), "q", "test"))(h); changed != want {
				t.Errorf("resume: changed %t, want %t", changed, want)
			}
		}
		h.due("q")
		h.expect("waiting", "Requested Due")
		h.expect("later", "Requested Due")
		if got := h.tell(""); got != "Paused(q) Resumed(q)" {
			t.Errorf("the log says of queues: %s", got)
		}
	})
}

func TestOtherQueuesDoNotPause(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		r := want("a")
		r.Queue = "other"
		h.request(r)
		must(h.log.Pause(t.Context(), "q", "test"))(h)
		h.due("other")
		h.expect("a", "Requested Due")
	})
}

func TestAQueueThatNobodyUsedYetCanBePaused(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		if must(h.log.HasQueue(t.Context(), "q"))(h) {
			t.Error("it was known before it was paused")
		}
		must(h.log.Pause(t.Context(), "q", "test"))(h)
		if !must(h.log.HasQueue(t.Context(), "q"))(h) {
			t.Error("it is not known after it was paused")
		}
		if !h.rdb.SIsMember(t.Context(), h.p.Queues, "q").Val() {
			t.Error("the queue is not known")
		}
		h.requested("a")
		h.due("q")
		h.expect("a", "Requested")
	})
}

func TestWorkersHearOfAQueueThatIsFirstPaused(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		signals := h.log.Conn().Block.Subscribe(t.Context(), h.p.Signals)
		defer func() {
			if err := signals.Close(); err != nil {
				t.Error(err)
			}
		}()
		must(signals.Receive(t.Context()))(h)
		for _, queue := range []string{"q", "r"} {
			must(h.log.Pause(t.Context(), queue, "test"))(h)
			must(h.log.Resume(t.Context(), queue, "test"))(h) // it is known by then
		}
		for _, want := range []string{"queue q", "queue r"} {
			if msg := must(signals.ReceiveMessage(t.Context()))(h); msg.Payload != want {
				t.Errorf("heard %q, want %q", msg.Payload, want)
			}
		}
	})
}

func TestAPauseHoldsInEveryPartition(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 3)
		h := newHand(t, log)
		must(log.Pause(t.Context(), "q", "test"))(h)
		for _, p := range log.Partitions() {
			entries := must(log.Range(t.Context(), p, events.ID{}, events.MaxID, 10))(h)
			if len(entries) != 1 || word(entries[0].Data) != "Paused(q)" {
				t.Errorf("partition %d has %v", p.N, entries)
			}
		}
	})
}
