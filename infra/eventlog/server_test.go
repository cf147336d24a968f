package eventlog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestRedisSaysWhatALogDependsOn(t *testing.T) {
	server := testredis.Start(t, "--maxmemory", "100mb")
	log := open(t, server.URL(), 1)
	says := func() eventlog.Server {
		t.Helper()
		list, err := log.Conn().Servers(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		return list[0]
	}
	s := says()
	if s.Version < "7" || s.Policy != "noeviction" || s.AOF != "0" || s.MaxMemory != 100<<20 || s.Memory < 100<<10 || s.Memory > s.MaxMemory {
		t.Errorf("it says %+v", s)
	}
	if err := s.Unfit(); err != nil {
		t.Errorf("Unfit = %v", err)
	}
	if d := s.Doubts(); len(d) != 1 || !strings.Contains(d[0], "append-only file") {
		t.Errorf("Doubts = %q, want the missing AOF", d)
	}
	server.Set(t, "appendonly", "yes")
	server.Set(t, "maxmemory-policy", "allkeys-lru")
	if s = says(); len(s.Doubts()) != 0 || s.Unfit() == nil {
		t.Errorf("with AOF and eviction it says %+v", s)
	}
}

func TestARedisThatIsTooOldOrEvictsIsUnfit(t *testing.T) {
	for _, tt := range []struct {
		server eventlog.Server
		unfit  string // "": it is fit
	}{
		{eventlog.Server{Version: "7.0.0", Policy: "noeviction"}, ""},
		{eventlog.Server{Version: "10.1.0", Policy: "noeviction"}, ""},
		{eventlog.Server{Version: "7.2.4", Policy: "noeviction", MaxMemory: 1}, ""},
		{eventlog.Server{}, ""},
		{eventlog.Server{Version: "6.2.14", Policy: "noeviction"}, "6.2.14"},
		{eventlog.Server{Version: "7.0.0", Policy: "volatile-ttl"}, "volatile-ttl"},
		{eventlog.Server{Version: "7.0.0", Policy: "allkeys-lru"}, "noeviction"},
	} {
		err := tt.server.Unfit()
		if (err == nil) != (tt.unfit == "") || err != nil && !strings.Contains(err.Error(), tt.unfit) {
			t.Errorf("%+v: Unfit = %v, want %q", tt.server, err, tt.unfit)
		}
	}
	if d := (eventlog.Server{}).Doubts(); len(d) != 1 {
		t.Errorf("of a Redis that tells nothing there are %d doubts, want 1", len(d))
	}
}

func TestNoTaskIsTakenFromAFullRedisUntilThereIsRoomAgain(t *testing.T) {
	server := testredis.Start(t)
	conn := open(t, server.URL(), 1).Conn()
	if err := conn.Admit(t.Context(), 75); err != nil {
		t.Errorf("without a limit: %v", err)
	}
	// admits looks until the answer of a second ago is forgotten.
	admits := func(percent int, want bool) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for late := time.After(10 * time.Second); ; {
			err := conn.Admit(t.Context(), percent)
			if err != nil && (!errors.Is(err, eventlog.ErrFull) || !eventlog.Unavailable(err)) {
				t.Fatalf("Admit = %v, want an ErrFull that counts as unavailable", err)
			}
			if (err == nil) == want {
				return
			}
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("Admit(%d) = %v", percent, err)
			}
		}
	}
	server.Set(t, "maxmemory", "1500kb") // of which an empty Redis uses more than the half
	admits(30, false)
	admits(101, true) // it leaves it to Redis
	server.Set(t, "maxmemory", "1gb")
	admits(30, true)
	server.Set(t, "maxmemory", "1")
	admits(75, false)
	server.Set(t, "maxmemory", "0")
	admits(75, true)
}

func TestABulkDoesNotFillRedisBetweenTwoLooks(t *testing.T) {
	server := testredis.Start(t)
	log := open(t, server.URL(), 1)
	server.Set(t, "maxmemory", "40mb") // which takes less than a second
	for n := 0; ; n++ {
		rs := make([]eventlog.Request, 20)
		for i := range rs {
			rs[i] = want(fmt.Sprint("t", n, "-", i))
			rs[i].Payload = []byte(`"` + strings.Repeat("x", 30_000) + `"`)
		}
		if err := log.Conn().Admit(t.Context(), 75, rs...); errors.Is(err, eventlog.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, r := range log.RequestMany(t.Context(), rs) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	servers, err := log.Conn().Servers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if used := servers[0].Memory * 100 / servers[0].MaxMemory; used < 50 || used > 85 {
		t.Errorf("%d %% are in use when no more is taken, want 75 or so", used)
	}
}

func TestRedisIsAskedHowFullItIsOnceASecondAtMost(t *testing.T) {
	server := testredis.Start(t)
	conn := open(t, server.URL(), 1).Conn()
	asked := func() int { return testredis.Calls(t, server.Client())["info"] }
	before := time.Now()
	for range 1000 {
		if err := conn.Admit(t.Context(), 75); err != nil {
			t.Fatal(err)
		}
	}
	most := int(time.Since(before)/time.Second) + 1
	if n := asked(); n == 0 || n > most {
		t.Errorf("1000 requests asked %d times, want %d at the most, and once at the least", n, most)
	}
}
