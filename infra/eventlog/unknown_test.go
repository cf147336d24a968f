package eventlog_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// A deed is a decision about task "a". prepare leads the task to where it can be taken, and returns it.
type deed struct {
	name    string
	appends int
	prepare func(d *hand) func(h *hand) error
}

// deeds are all decisions.
var deeds = []deed{
	{"request", 1, func(*hand) func(*hand) error {
		return func(h *hand) error {
			receipt, err := h.log.Request(h.Context(), want("a"))
			if receipt.Duplicate {
				return errors.New("it counts as a duplicate")
			}
			return err
		}
	}},
	{"promote", 0, func(d *hand) func(*hand) error {
		r := want("a")
		r.Delay = time.Millisecond
		receipt := d.request(r)
		d.await(receipt.DueAt)
		return func(h *hand) error {
			_, err := h.log.Promote(h.Context(), h.p, "q", []eventlog.Promotion{{Task: "a", Queue: "q", Requested: receipt.Event}})
			return err
		}
	}},
	{"due", 1, func(d *hand) func(*hand) error {
		d.requested("a")
		return func(h *hand) error {
			_, err := h.log.Due(h.Context(), h.p, "q", 10, d.waiting("q"))
			return err
		}
	}},
	{"start", 1, func(d *hand) func(*hand) error {
		d.requested("a")
		d.due("q")
		a := d.take("a", "w1")
		d.lock(a)
		return func(h *hand) error {
			_, err := h.log.Start(h.Context(), a, hour)
			return err
		}
	}},
	{"complete", 1, running(func(h *hand, a eventlog.Attempt) error {
		_, err := h.log.Complete(h.Context(), a, 0, nil)
		return err
	})},
	{"fail", 1, running(func(h *hand, a eventlog.Attempt) error {
		_, err := h.log.Fail(h.Context(), a, 0, events.ReasonError, "", new(hour))
		return err
	})},
	{"release", 1, running(func(h *hand, a eventlog.Attempt) error {
		_, err := h.log.Release(h.Context(), a, events.ReasonShutdown, nil)
		return err
	})},
	{"release before the start", 1, func(d *hand) func(*hand) error {
		d.requested("a")
		d.due("q")
		a := d.take("a", "w1")
		return func(h *hand) error {
			_, err := h.log.Release(h.Context(), a, events.ReasonShutdown, nil)
			return err
		}
	}},
	{"extend", 0, running(func(h *hand, a eventlog.Attempt) error {
		errs, err := h.log.Extend(h.Context(), h.p, hour, []eventlog.Attempt{a})
		return errors.Join(append(errs, err)...)
	})},
	{"abandon", 1, running(func(h *hand, a eventlog.Attempt) error {
		_, err := h.log.Abandon(h.Context(), "a", a.Number, a.Worker, 0, nil)
		if f, ok := errors.AsType[*eventlog.FencedError](err); ok && f.State == events.StateFailed {
			return nil // it may have been another sweeper: the attempt is over
		}
		return err
	})},
	{"sweep", 0, running(func(h *hand, _ eventlog.Attempt) error {
		swept, err := h.log.Sweep(h.Context(), h.p, hour, hour)
		if err == nil && !slices.Equal(swept.Overdue, []string{"a"}) {
			return errors.New("it did not find the lease that ended")
		}
		return err
	})},
	{"cancel", 1, running(func(h *hand, _ eventlog.Attempt) error {
		_, err := h.log.Cancel(h.Context(), "a", "test", "")
		return err
	})},
	{"retry", 1, func(d *hand) func(*hand) error {
		d.requested("a")
		must(d.log.Cancel(d.Context(), "a", "test", ""))(d)
		return func(h *hand) error {
			_, err := h.log.Retry(h.Context(), "a", "test", "r1")
			return err
		}
	}},
	{"pause", 1, func(*hand) func(*hand) error {
		return func(h *hand) error {
			_, err := h.log.Pause(h.Context(), "q", "test")
			return err
		}
	}},
	{"resume", 1, func(d *hand) func(*hand) error {
		must(d.log.Pause(d.Context(), "q", "test"))(d)
		return func(h *hand) error {
			_, err := h.log.Resume(h.Context(), "q", "test")
			return err
		}
	}},
	{"mend", 0, func(d *hand) func(*hand) error {
		d.requested("a")
		must(d.rdb.Del(d.Context(), d.p.Waiting("q")).Result())(d)
		return func(h *hand) error {
			_, err := h.log.Mend(h.Context(), h.p, "a", "q")
			return err
		}
	}},
	{"forget", 0, func(d *hand) func(*hand) error {
		must(d.rdb.XGroupCreateMkStream(d.Context(), d.p.Due("q"), eventlog.Group, "0").Result())(d)
		must(d.rdb.XGroupCreateConsumer(d.Context(), d.p.Due("q"), eventlog.Group, "w1").Result())(d)
		return func(h *hand) error {
			gone, err := h.log.Forget(h.Context(), h.p, "q", "w1")
			if err == nil && !gone {
				return errors.New("the consumer is still there")
			}
			return err
		}
	}},
	{"announce", 0, func(*hand) func(*hand) error {
		return func(h *hand) error { return h.log.Announce(h.Context(), eventlog.Presence{Worker: "w1"}) }
	}},
}

// running prepares a deed of the worker, or to the worker, that runs task "a" and whose lease has ended.
func running(f func(h *hand, a eventlog.Attempt) error) func(d *hand) func(h *hand) error {
	return func(d *hand) func(*hand) error {
		a := d.running("a")
		d.expireLease("a")
		return func(h *hand) error { return f(h, a) }
	}
}

// both returns a hand behind a proxy, and one that reaches the same log directly.
func both(t *testing.T, partitions int, args ...string) (p *proxy, behind, direct *hand) {
	t.Helper()
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
	p = startProxy(t, server.Addr())
	direct = newHand(t, open(t, server.URL(), partitions))
	behind = newHand(t, open(t, p.url(), partitions))
	direct.p, behind.p = direct.log.Of("a"), behind.log.Of("a")
	return p, behind, direct
}

// do takes a deed on an empty log, with a fault, and checks that it was taken once.
func (d deed) do(t *testing.T, p *proxy, f fault, behind, direct *hand) {
	t.Helper()
	if err := direct.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	act := d.prepare(direct)
	before := len(direct.all())
	hits := p.set(f)
	if err := act(behind); err != nil {
		t.Errorf("%s: %v", d.name, err)
	}
	if now := p.set(faultNone); f != faultNone && now == hits {
		t.Errorf("%s: the fault did not happen", d.name)
	}
	if n := len(direct.all()) - before; n != d.appends {
		t.Errorf("%s: %d events were appended, want %d", d.name, n, d.appends)
	}
	if tasks := direct.fold(direct.all()); tasks["a"].ID != "" {
		direct.agree(direct.all(), "a")
	}
}

func TestADecisionIsTakenOnceWhateverTheNetworkLoses(t *testing.T) {
	p, behind, direct := both(t, 1)
	for _, d := range deeds {
		d.do(t, p, faultNone, behind, direct) // so that Redis knows the script
		d.do(t, p, faultBefore, behind, direct)
		d.do(t, p, faultAfter, behind, direct)
	}
}

func TestADecisionIsTakenAfterTheScriptsWereFlushed(t *testing.T) {
	p, behind, direct := both(t, 1)
	for _, d := range deeds {
		if err := direct.rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		d.do(t, p, faultNone, behind, direct)
	}
}

func TestADecisionThatIsNeverAnsweredIsUnknownAndCanBeAskedForAgain(t *testing.T) {
	p, behind, direct := both(t, 1)
	request := func() error {
		_, err := behind.log.Request(t.Context(), want("a"))
		return err
	}
	must(behind.log.Request(t.Context(), want("b")))(behind)
	p.set(faultAfterAlways)
	if err := request(); !eventlog.Unavailable(err) {
		t.Errorf("got %v", err)
	}
	p.set(faultNone)
	if err := request(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	direct.expect("a", "Requested")
}

func TestEveryDecisionStaysInOneClusterSlot(t *testing.T) {
	p, behind, direct := both(t, 5, "--cluster-enabled", "yes")
	if behind.p.N == 0 {
		t.Fatal("choose another task: a script that forgets the partition shows in any but the first")
	}
	for _, d := range deeds {
		d.do(t, p, faultNone, behind, direct)
	}
	scripts, err := filepath.Glob("*.lua")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.calls) != len(scripts)-1 { // but the prelude
		t.Errorf("%d scripts were called, and there are %d", len(p.calls), len(scripts)-1)
	}
	for sha, keys := range p.calls {
		for _, key := range keys {
			if slot(key) != slot(keys[0]) {
				t.Errorf("script %s: %s and %s lie in two slots", sha, keys[0], key)
			}
			if !strings.HasPrefix(key, "tasklog:{") {
				t.Errorf("script %s: key %s has no hash tag of ours", sha, key)
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
