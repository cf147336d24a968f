package faults_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script counts its calls. The proxy knows it by the second name.
var script = redis.NewScript(`-- first.lua: stands before others.
-- count.lua: counts.
return redis.call('INCR', KEYS[1])`)

// both returns a client behind a proxy, and one that reaches the same Redis directly.
func both(t *testing.T) (p *faults.Proxy, behind, direct *redis.Client) {
	t.Helper()
	server := testredis.Start(t)
	p = faults.Start(t, server.Addr())
	o, err := redis.ParseURL(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries, o.Protocol = -1, 2
	behind = redis.NewClient(o)
	t.Cleanup(func() { _ = behind.Close() })
	return p, behind, server.Client()
}

func TestAFaultBefallsItsCommandAndNoOther(t *testing.T) {
	p, behind, direct := both(t)
	for range 2 { // with the source, and without it
		if err := script.Run(t.Context(), behind, []string{"n"}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	request, reply := p.Sizes()
	if request == 0 || reply != len(":1\r\n") {
		t.Fatalf("the call has %d bytes and its reply %d", request, reply)
	}
	done := int64(2)
	for _, test := range []struct {
		fault faults.Fault
		done  bool
		want  string
	}{
		{faults.Fault{Kind: faults.DropRequest}, false, "EOF"},
		{faults.Fault{Kind: faults.DropReply}, true, "EOF"},
		{faults.Fault{Kind: faults.CutRequest, At: request - 1}, false, "EOF"},
		{faults.Fault{Kind: faults.CutRequest, At: request}, true, "EOF"},
		{faults.Fault{Kind: faults.CutReply, At: reply - 1}, true, "EOF"},
		{faults.Fault{Kind: faults.Answer, Error: "OOM it is full"}, false, "OOM it is full"},
		{faults.Fault{Kind: faults.DropReply, Only: faults.Script("count.lua")}, true, "EOF"},
	} {
		hits := p.Set(test.fault)
		if err := behind.Ping(t.Context()).Err(); err != nil {
			t.Errorf("%s: it befell PING: %v", test.fault, err)
		}
		err := script.Run(t.Context(), behind, []string{"n"}).Err()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.fault, err, test.want)
		}
		if test.done {
			done++
		}
		await(t, direct, done)
		if now := p.Hits(); now != hits+1 {
			t.Errorf("%s: befell %d commands", test.fault, now-hits)
		}
		if err := script.Run(t.Context(), behind, []string{"n"}).Err(); err != nil {
			t.Errorf("after %s: %v", test.fault, err)
		}
		done++
	}
	if keys := p.Called()["count.lua"]; len(keys) != 1 || keys[0] != "n" {
		t.Errorf("the last call had the keys %q", keys)
	}
}

// await waits until the counter is at n: a request whose end was cut may be under way yet.
func await(t *testing.T, rdb *redis.Client, n int64) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		have, err := rdb.Get(t.Context(), "n").Int64()
		if err == nil && have == n {
			return
		}
		if err != nil || have > n || time.Now().After(deadline) {
			t.Fatalf("the counter is %d, %v, want %d", have, err, n)
		}
	}
}

func TestAFaultLastsAsOftenAsItSays(t *testing.T) {
	p, behind, direct := both(t)
	set := faults.Named("set")
	p.Set(faults.Fault{Kind: faults.DropReply, Times: 3, Only: set})
	for range 3 {
		if err := behind.Set(t.Context(), "a", 1, 0).Err(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	}
	if err := behind.Set(t.Context(), "a", 2, 0).Err(); err != nil {
		t.Error(err)
	}
	p.Set(faults.Fault{Kind: faults.Answer, Error: "READONLY no", Times: faults.Always, Only: set})
	for range 10 {
		if err := behind.Set(t.Context(), "a", 3, 0).Err(); !redis.HasErrorPrefix(err, "READONLY") {
			t.Errorf("got %v", err)
		}
	}
	if n := p.Set(faults.Fault{}); n != 13 {
		t.Errorf("it befell %d commands, want 13", n)
	}
	if v := direct.Get(t.Context(), "a").Val(); v != "2" {
		t.Errorf("Redis has %q, want what it was last given", v)
	}
}

func TestSubscriptionsAndBlockingReadsPass(t *testing.T) {
	_, behind, direct := both(t)
	sub := behind.Subscribe(t.Context(), "news")
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := direct.Publish(t.Context(), "news", "hello").Err(); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.ReceiveMessage(t.Context()); err != nil || m.Payload != "hello" {
		t.Errorf("got %v, %v", m, err)
	}
	if err := direct.LPush(t.Context(), "list", "v").Err(); err != nil {
		t.Fatal(err)
	}
	if v, err := behind.BLPop(t.Context(), time.Second, "list").Result(); err != nil || v[1] != "v" {
		t.Errorf("got %q, %v", v, err)
	}
}
