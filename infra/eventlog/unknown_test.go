package eventlog_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
)

// both returns a hand behind a proxy, and one that reaches the same log directly. Decisions behind
// the proxy do not wait long before they are asked for again.
func both(t *testing.T, partitions int, args ...string) (p *faults.Proxy, behind, direct *hand) {
	t.Helper()
	t.Cleanup(eventlog.SetRepeats(time.Millisecond, time.Millisecond, time.Millisecond))
	server := testredis.Start(t, args...)
	if slices.Contains(args, "--cluster-enabled") {
		rdb := server.Client()
		if err := rdb.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
			t.Fatal(err)
		}
		for !strings.Contains(rdb.ClusterInfo(t.Context()).Val(), "cluster_state:ok") {
			if t.Context().Err() != nil {
				t.Fatal("the cluster never was")
			}
		}
	}
	p = faults.Start(t, server.Addr())
	direct = newHand(t, open(t, server.URL(), partitions))
	behind = newHand(t, open(t, p.URL(), partitions))
	direct.p, behind.p = direct.log.Of("a"), behind.log.Of("a")
	return p, behind, direct
}

// told are the deeds whose answer is in the log, where it is looked for when Redis did not give it.
var told = []string{"pause", "resume"}

// do takes a deed on an empty log, with a fault, and holds what comes of it to the promise: until it is
// answered it is unknown, and however often it was asked for it was done once and answers the same.
func (d deed) do(t *testing.T, p *faults.Proxy, f faults.Fault, behind, direct *hand) {
	t.Helper()
	if err := direct.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	act := d.prepare(direct)
	before := len(direct.all())
	hits := p.Set(f)
	answer, err := act(behind)
	if now := p.Set(faults.Fault{}); f.Kind != faults.None && now == hits {
		t.Errorf("%s, %s: the fault did not happen", d.name, f)
	}
	if f.Times == faults.Always && eventlog.Unavailable(err) {
		answer, err = act(behind)
	} else if f.Times == faults.Always && !strings.Contains(f.String(), "NOSCRIPT") && !slices.Contains(told, d.name) {
		t.Errorf("%s, %s: answered %v, %v", d.name, f, answer, err)
	}
	if err != nil {
		t.Errorf("%s, %s: %v", d.name, f, err)
	}
	if again, err := act(behind); err != nil || !reflect.DeepEqual(again, answer) {
		t.Errorf("%s, %s: asked again it answers %v, %v, and at first %v", d.name, f, again, err, answer)
	}
	if n := len(direct.all()) - before; n != d.appends {
		t.Errorf("%s, %s: %d events were appended, want %d", d.name, f, n, d.appends)
	}
	if tasks := direct.fold(direct.all()); tasks["a"].ID != "" {
		direct.agree(direct.all(), "a")
	}
}

// learn takes every deed once after the scripts were flushed, so that Redis and the proxy know them.
func learn(t *testing.T, p *faults.Proxy, behind, direct *hand) {
	t.Helper()
	for _, d := range deeds {
		if err := direct.rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		d.do(t, p, faults.Fault{}, behind, direct)
	}
}

func TestEveryScriptHasADeed(t *testing.T) {
	p, behind, direct := both(t, 1)
	learn(t, p, behind, direct)
	called := p.Called()
	for name := range scripts(t) {
		if _, ok := called[name]; !ok && !isPart(name) {
			t.Errorf("%s is called by no deed: its repeats are not tested", name)
		}
	}
}

func TestADecisionIsTakenOnceWhateverTheNetworkLosesAndRedisAnswers(t *testing.T) {
	p, behind, direct := both(t, 1)
	for _, times := range []int{1, 2, faults.Always} {
		for _, f := range faults.Every(times) {
			for _, d := range deeds {
				d.do(t, p, f, behind, direct)
			}
		}
	}
}

// Where a connection breaks matters: a client takes part of a reply for none, and Redis part of a
// request.
func TestADecisionIsTakenOnceWhereverTheConnectionBreaks(t *testing.T) {
	p, behind, direct := both(t, 1)
	learn(t, p, behind, direct)
	for i, d := range deeds {
		d.do(t, p, faults.Fault{}, behind, direct)
		request, reply := p.Sizes()
		if request < 100 || reply < 4 {
			t.Fatalf("%s: a call of %d bytes, and a reply of %d", d.name, request, reply)
		}
		for k := range reply + 1 {
			d.do(t, p, faults.Fault{Kind: faults.CutReply, At: k}, behind, direct)
		}
		const stride = 13
		for k := i % stride; k <= request; k += stride {
			d.do(t, p, faults.Fault{Kind: faults.CutRequest, At: k}, behind, direct)
		}
	}
}

func TestADecisionThatIsNeverAnsweredIsUnknownAndCanBeAskedForAgain(t *testing.T) {
	p, behind, direct := both(t, 1)
	request := func() error {
		_, err := behind.log.Request(t.Context(), want("a"))
		return err
	}
	must(behind.log.Request(t.Context(), want("b")))(behind)
	p.Set(faults.Fault{Kind: faults.DropReply, Times: faults.Always})
	if err := request(); !eventlog.Unavailable(err) {
		t.Errorf("got %v", err)
	}
	p.Set(faults.Fault{})
	if err := request(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	direct.expect("a", "Requested")
}

func TestALookBeforeADecisionIsRepeated(t *testing.T) {
	p, behind, direct := both(t, 1)
	direct.requested("a")
	for _, d := range []string{"cancel", "retry"} {
		hits := p.Set(faults.Fault{Kind: faults.DropReply, Times: 2, Only: faults.Named("hmget")})
		var err error
		if d == "cancel" {
			_, err = behind.log.Cancel(t.Context(), "a", "test", "")
		} else {
			_, err = behind.log.Retry(t.Context(), "a", "test", "r1")
		}
		if n := p.Set(faults.Fault{}) - hits; err != nil || n != 2 {
			t.Errorf("%s: %v after %d lost replies", d, err, n)
		}
	}
	direct.expect("a", "Requested Cancelled(waiting) RetryRequested(cancelled)")
}

func TestEveryDecisionStaysInOneClusterSlot(t *testing.T) {
	p, behind, direct := both(t, 5, "--cluster-enabled", "yes")
	if behind.p.N == 0 {
		t.Fatal("choose another task: a script that forgets the partition shows in any but the first")
	}
	learn(t, p, behind, direct)
	called := p.Called()
	if len(called) != len(scripts(t))-2 { // but the prelude and the gate
		t.Errorf("%d scripts were called, and there are %d", len(called), len(scripts(t))-2)
	}
	for name, keys := range called {
		for _, key := range keys {
			if slot(key) != slot(keys[0]) {
				t.Errorf("%s: %s and %s lie in two slots", name, keys[0], key)
			}
			if !strings.HasPrefix(key, "tasklog:{") {
				t.Errorf("%s: key %s has no hash tag of ours", name, key)
			}
		}
	}
}

// slot returns the cluster slot of a key: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
func slot(key string) uint16 {
	if _, after, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
			key = tag
		}
	}
	var crc uint16 // CRC-16/XMODEM
	for _, b := range []byte(key) {
		crc ^= uint16(b) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % 16384
}
