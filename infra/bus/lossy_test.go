package bus_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/bus"
)

// A lossy proxy lets commands through to Redis, and closes the connection instead of passing on the
// answer to those that mention a word, for as long as it is told to.
type lossy struct {
	net.Listener
	word string
	drop atomic.Int32 // answers still to lose
	wg   sync.WaitGroup
}

func newLossy(t *testing.T, upstream, word string, drop int32) *lossy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it lives until the test ends
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{Listener: l, word: word}
	p.drop.Store(drop)
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c, upstream) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.wg.Wait()
	})
	return p
}

// serve answers one request after the other: a client of ours does not send the next one before.
func (p *lossy) serve(down net.Conn, upstream string) {
	defer func() { _ = down.Close() }()
	up, err := net.Dial("tcp", upstream) //nolint:noctx // it lives as long as its peer
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := down.Read(buf)
		if err != nil {
			return
		}
		lose := bytes.Contains(bytes.ToUpper(buf[:n]), []byte(p.word)) && p.drop.Add(-1) >= 0
		if _, err := up.Write(buf[:n]); err != nil {
			return
		}
		if n, err = up.Read(buf); err != nil || lose {
			return
		}
		if _, err := down.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *lossy) client(t *testing.T) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr().String(), MaxRetries: -1, Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestAMessageIsAppendedOnceWhenTheAnswerIsLost(t *testing.T) {
	h := build(t)
	pub, err := bus.NewPublisher(bus.PublisherConfig{Client: newLossy(t, h.server.Addr(), "XADD", 100).client(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish(stream, message.NewMessage("u", nil)); err == nil {
		t.Error("Publish succeeded without an answer")
	}
	if n := h.rdb.XLen(t.Context(), stream).Val(); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func TestWhatALostAnswerHadIsClaimedFromOurselves(t *testing.T) {
	h := build(t)
	h.publish("a", "b")
	proxy := newLossy(t, h.server.Addr(), "XREADGROUP", 1)
	direct := h.rdb
	h.rdb = proxy.client(t)
	msgs, _ := h.subscribe(bus.SubscriberConfig{MaxInFlight: 2, ClaimIdle: 200 * time.Millisecond})
	h.next(msgs, "a").Ack()
	h.next(msgs, "b").Ack()
	h.rdb = direct
	h.settled()
	if h.count("read_failures_total") == 0 || h.count("claimed_total") != 2 {
		t.Errorf("%v reads failed, %v entries claimed: no answer was lost", h.count("read_failures_total"), h.count("claimed_total"))
	}
}

func TestAnAcknowledgementWhoseAnswerIsLostIsRepeatedAndNotTheMessage(t *testing.T) {
	h := build(t)
	h.publish("a")
	proxy := newLossy(t, h.server.Addr(), "XACK", 2)
	direct := h.rdb
	h.rdb = proxy.client(t)
	msgs, sub := h.subscribe(bus.SubscriberConfig{ClaimIdle: 100 * time.Millisecond})
	h.next(msgs, "a").Ack()
	h.until("three acknowledgements", func() bool { return proxy.drop.Load() < 0 })
	h.rdb = direct
	h.settled()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	h.ends(msgs)
}
