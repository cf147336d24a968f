package eventlog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// play leads n tasks as far as each gets, so that the log has events of every kind between each other.
func (h *hand) play(prefix string, n int) {
	h.Helper()
	for i := range n {
		task := fmt.Sprint(prefix, i)
		r := want(task)
		if i%7 == 0 {
			r.Delay = hour
		}
		h.request(r)
		if i%7 == 0 || i%7 == 1 {
			continue
		}
		h.due("q")
		a := h.start(task, "w1")
		switch i % 7 {
		case 2:
			must(h.log.Complete(h.Context(), a, 0, nil))(h)
		case 3:
			must(h.log.Fail(h.Context(), a, 0, events.ReasonError, "", new(hour)))(h)
		case 4:
			must(h.log.Release(h.Context(), a, events.ReasonShutdown, nil))(h)
		case 5:
			must(h.log.Cancel(h.Context(), task, "test", ""))(h)
			must(h.log.Retry(h.Context(), task, "test", "again"))(h)
		default: // it runs on
		}
	}
}

// What a script does is one unit in the append-only file: a tail that is lost takes an event and all
// that follows from it.
func TestWhatSurvivesAPowerLossIsAConsistentPrefix(t *testing.T) {
	dir := t.TempDir()
	server := testredis.Start(t, "--appendonly", "yes", "--dir", dir)
	h := newHand(t, open(t, server.URL(), 1))
	h.play("t", 70)
	log := h.all()
	h.agree(log)
	shorter := 0
	for cut := int64(1); len(log) > 20; cut = cut*3%500 + 1 {
		server.Kill()
		files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%q, %v", files, err)
		}
		info, err := os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(files[0], info.Size()-cut); err != nil {
			t.Fatal(err)
		}
		server.Restart(t)
		h := newHand(t, open(t, server.URL(), 1))
		left := h.all()
		if len(left) > len(log) || !reflect.DeepEqual(left, log[:len(left)]) {
			t.Fatalf("%d events of %d are left, and they are no prefix", len(left), len(log))
		}
		h.agree(left)
		if len(left) < len(log) {
			shorter++
		}
		log = left
		if shorter == 15 {
			break
		}
	}
	if shorter < 10 {
		t.Errorf("only %d times anything was lost: this proves nothing", shorter)
	}
	h = newHand(t, open(t, server.URL(), 1))
	h.play("later", 7)
	h.agree(h.all())
}

func TestAfterAFailoverWhatWasLostIsFencedAndTheRestGoesOn(t *testing.T) {
	before := testredis.Start(t)
	after := testredis.Start(t)
	rdb := after.Client()
	host, port := "127.0.0.1", before.Addr()[len("127.0.0.1:"):]
	if err := rdb.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	h := newHand(t, open(t, before.URL(), 1))
	h.play("t", 21)
	h.requested("lost start")
	h.due("q")
	kept := h.all()
	for deadline := time.Now().Add(20 * time.Second); rdb.XLen(t.Context(), h.p.Events).Val() < int64(len(kept)); {
		if time.Now().After(deadline) {
			t.Fatal("the replica does not follow")
		}
	}
	// It is promoted while the old one goes on: what that is told now is lost.
	if err := rdb.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	a := h.start("lost start", "w1")
	h.requested("lost request")
	lost := len(h.all()) - len(kept)
	before.Kill()

	follower := newHand(t, open(t, after.URL(), 0))
	if n := len(follower.all()); n != len(kept) || lost == 0 {
		t.Fatalf("%d events are left of %d, and %d were lost", n, len(kept), lost)
	}
	follower.agree(follower.all())
	if _, err := follower.log.Complete(t.Context(), a, 0, nil); !errors.Is(err, eventlog.ErrFenced) {
		t.Errorf("a start that was lost completes: %v", err)
	}
	follower.request(want("lost request")) // by a client that repeats itself
	again := follower.start("lost start", "w2")
	must(follower.log.Complete(t.Context(), again, 0, nil))(follower)
	follower.expect("lost start", "Requested Due Started(1,w2) Completed(1,w2)")
	follower.expect("lost request", "Requested")
	follower.agree(follower.all())
}
