package view_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
	"github.com/tasklog/tasklog/services/view"
)

func TestAProgramGoesOnWhateverTheNetworkLosesAndRedisAnswers(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	h := build(t, server.URL(), 2)
	proxy := faults.Start(t, server.Addr())
	behind, err := view.Connect(t.Context(), proxy.URL(), view.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := behind.Close(); err != nil {
			t.Error(err)
		}
	})
	list := history(13, 3000)
	s := h.store()
	h.keepIn(behind, &count{version: 1})
	h.write(list[:100])
	h.reaches(s, 1, fold(list[:100], 1))
	written := 100
	for _, f := range faults.Every(2) {
		before := proxy.Hits()
		if f.Only == nil { // everything but reads that wait, which the proxy lets pass
			f.Only = func(faults.Command) bool { return true }
		}
		proxy.Set(f)
		h.write(list[written : written+200])
		written += 200
		h.reaches(s, 1, fold(list[:written], 1))
		if strings.HasPrefix(f.Error, "NOSCRIPT") {
			continue // both may not come: the source follows the first
		}
		h.until("the fault came", func() bool { return proxy.Hits() >= before+2 })
	}
}

func TestAProgramGoesOnAfterARestartOfRedis(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	h := build(t, server.URL(), 1)
	list := history(14, 3000)
	s := h.store()
	h.keep(&count{version: 1})
	h.write(list[:1000])
	h.reaches(s, 1, fold(list[:1000], 1))
	h.write(list[1000:2000]) // while these are folded
	server.Kill()
	server.Restart(t)
	h.write(list[2000:])
	h.reaches(s, 1, fold(list, 1))
}

func TestASlowFoldKeepsItsLease(t *testing.T) {
	t.Parallel()
	h := build(t, testredis.Start(t).URL(), 1)
	const n, each = 300, 20 * time.Millisecond // longer than a lease
	list := history(15, n)
	h.write(list)
	var folded atomic.Int64
	for range 2 {
		h.keep(&count{version: 1, before: func(events.Event) {
			folded.Add(1)
			<-time.After(each)
		}})
	}
	h.reaches(h.store(), 1, fold(list, 1))
	if got := folded.Load(); got != n {
		t.Errorf("%d events were folded, want %d", got, n)
	}
}
