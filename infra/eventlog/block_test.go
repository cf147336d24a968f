package eventlog_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestAWaitEndsSoonAfterItsContext(t *testing.T) {
	server := testredis.Start(t)
	log := open(t, server.URL(), 1)
	p := log.Partitions()[0]
	for range 20 { // the connections are used again, and nobody's end is another one's
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan time.Duration)
		go func() {
			began := time.Now()
			entries, err := log.Follow(ctx, p, events.ID{}, 1, eventlog.MaxBlock)
			if len(entries) > 0 || err != nil && !eventlog.Unavailable(err) {
				t.Errorf("an interrupted read returned %v, %v", entries, err)
			}
			done <- time.Since(began)
		}()
		blocked(t, server)
		cancel()
		if took := <-done; took > time.Second {
			t.Errorf("it ended %s after it began", took)
		}
		entries, err := log.Follow(t.Context(), p, events.ID{}, 1, time.Millisecond)
		if len(entries) > 0 || err != nil {
			t.Fatalf("the next read returned %v, %v", entries, err)
		}
	}
}

func TestAWaitWhoseContextEndsAtItsBeginningEndsSoon(t *testing.T) {
	server := testredis.Start(t)
	for i := range 60 { // the first read of a connection asks for its id: the end comes before, while and after
		log := open(t, server.URL(), 1)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(i)*25*time.Microsecond, cancel)
		began := time.Now()
		_, _ = log.Follow(ctx, log.Partitions()[0], events.ID{}, 1, eventlog.MaxBlock) // nothing, or that it ended
		if took := time.Since(began); took > time.Second {
			t.Errorf("a read that had %s took %s", time.Duration(i)*25*time.Microsecond, took)
		}
	}
}

func TestEveryPartitionMayBeWaitedForAtOnce(t *testing.T) {
	const partitions, readers = 32, 3
	server := testredis.Start(t)
	log := open(t, server.URL(), partitions)
	ctx, cancel := context.WithCancel(t.Context())
	var reads sync.WaitGroup
	wait := func(read func() error) {
		reads.Go(func() {
			for ctx.Err() == nil {
				if err := read(); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, p := range log.Partitions() {
		if err := log.CreateGroup(t.Context(), p, "q"); err != nil {
			t.Fatal(err)
		}
		for range readers - 1 {
			wait(func() error {
				_, err := log.Follow(ctx, p, events.ID{}, 1, eventlog.MaxBlock)
				return err
			})
		}
		wait(func() error {
			_, err := log.Take(ctx, p, "w", []string{"q"}, 1, eventlog.MaxBlock)
			return err
		})
	}
	blockedBy(t, server, partitions*readers)
	cancel()
	reads.Wait()
}

// blocked waits until a client waits in Redis.
func blocked(t *testing.T, server *testredis.Server) {
	t.Helper()
	blockedBy(t, server, 1)
}

// blockedBy waits until n clients wait in Redis at once.
func blockedBy(t *testing.T, server *testredis.Server, n int) {
	t.Helper()
	want := fmt.Sprintf("blocked_clients:%d\r\n", n)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if strings.Contains(server.Client().Info(t.Context(), "clients").Val(), want) {
			return
		}
	}
	t.Fatalf("%d clients are never blocked at once", n)
}
