package whole_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/worker"
)

// held is a handler that tells when the task "held" begins, and ends it when it is told to. Every other
// task takes no time.
type held struct{ began, finish chan struct{} }

func newHeld() held { return held{make(chan struct{}), make(chan struct{})} }

func (h held) handle(ctx context.Context, task worker.Task[json.RawMessage]) (any, error) {
	if task.ID != "held" {
		return nil, nil
	}
	close(h.began)
	select {
	case <-h.finish:
	case <-ctx.Done():
	}
	return nil, context.Cause(ctx)
}

// fill asks for tasks until one is refused, and returns those that were accepted.
func (h *house) fill(prefix string, size int) (accepted []string) {
	h.Helper()
	for n := range 5000 {
		task := fmt.Sprint(prefix, n)
		status, answer := h.try(fmt.Sprintf(`{"taskName":"t","customJobId":%q,"payload":%q}`, task, strings.Repeat("x", size)))
		switch status {
		case http.StatusAccepted:
			accepted = append(accepted, task)
		case http.StatusServiceUnavailable:
			return accepted
		default:
			h.Fatalf("%d %s", status, answer)
		}
	}
	h.Fatal("it is never full")
	return nil
}

// until waits until something holds.
func (h *house) until(what string, ok func() bool) {
	h.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			h.Fatalf("it did not happen: %s", what)
		}
		tick := time.NewTimer(5 * time.Millisecond)
		<-tick.C
	}
}

func TestARedisThatIsFullRefusesTasksAndLetsThoseThatRunEnd(t *testing.T) {
	srv := testredis.Start(t)
	work := newHeld()
	h := on(t, srv, srv.URL(), 0, work.handle)
	h.post(`{"taskName":"t","customJobId":"held"}`)
	<-work.began
	info, err := srv.Client().InfoMap(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	var used int
	if _, err := fmt.Sscan(info["Memory"]["used_memory"], &used); err != nil {
		t.Fatal(err)
	}
	h.redis.Set(t, "maxmemory", fmt.Sprint(used+1<<20))
	accepted := h.fill("t", 100_000)
	close(work.finish)
	p := h.log.Partitions()[0]
	h.until("what ran has ended", func() bool {
		task, err := h.log.Task(t.Context(), "held")
		return err == nil && task.State.Final()
	})
	accepted = append(accepted, h.fill("u", 100_000)...) // Redis gives back a buffer now and then: there may be room for one
	h.redis.Set(t, "maxmemory", "0")
	h.smooth(append(accepted, "held")...)
	if n := srv.Client().ZCard(t.Context(), p.Leases).Val(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

func TestARedisWithoutRoomForConnectionsIsWaitedFor(t *testing.T) {
	srv := testredis.Start(t)
	h := on(t, srv, srv.URL(), 0, newHeld().handle)
	h.post(`{"taskName":"t","customJobId":"before"}`)
	admin := srv.Client().Conn() // its connection is kept
	defer func() { _ = admin.Close() }()
	if err := admin.ConfigSet(t.Context(), "maxclients", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := admin.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	if status, answer := h.try(`{"taskName":"t","customJobId":"refused"}`); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, answer)
	}
	if err := admin.ConfigSet(t.Context(), "maxclients", "10000").Err(); err != nil {
		t.Fatal(err)
	}
	tasks := []string{"before"}
	h.until("tasks are accepted again", func() bool {
		status, _ := h.try(`{"taskName":"t","customJobId":"after"}`)
		return status == http.StatusAccepted
	})
	h.smooth(append(tasks, "after")...)
}
