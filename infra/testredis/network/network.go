// Package network puts a bad network between a client and a Redis: slow, narrow, silent or broken, in
// one direction or both. It is Shopify's toxiproxy, in this process. What it does befalls whatever is
// under way; package faults loses the reply of one chosen command.
package network

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A Network passes everything on until it is told otherwise.
type Network struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
	count int
}

// A Direction is one of the two ways.
type Direction string

// The directions.
const (
	Requests Direction = "upstream"
	Replies  Direction = "downstream"
)

// Start starts a network to host:port on a free port. It is gone when the test ends.
func Start(t testing.TB, upstream string) *Network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &Network{t: t, proxy: toxiproxy.NewProxy(server, "redis", "127.0.0.1:0", upstream)}
	if err := n.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.Heal()
		n.proxy.Stop()
	})
	return n
}

// URL is what eventlog.Connect takes.
func (n *Network) URL() string { return "redis://" + n.proxy.Listen + "/0" }

// Slow delays what goes in a direction by d, give or take jitter.
func (n *Network) Slow(way Direction, d, jitter time.Duration) {
	n.t.Helper()
	n.add(way, "latency", fmt.Sprintf(`"latency":%d,"jitter":%d`, d.Milliseconds(), jitter.Milliseconds()))
}

// Narrow lets so many kilobytes a second through in a direction.
func (n *Network) Narrow(way Direction, rate int) {
	n.t.Helper()
	n.add(way, "bandwidth", fmt.Sprintf(`"rate":%d`, rate))
}

// Swallow takes what goes in a direction and passes nothing on; the connections stay. They are closed
// when the network heals.
func (n *Network) Swallow(ways ...Direction) {
	n.t.Helper()
	for _, way := range ways {
		n.add(way, "timeout", `"timeout":0`)
	}
}

// Cut ends every connection after so many bytes more in a direction, those too that are made later.
func (n *Network) Cut(way Direction, bytes int) {
	n.t.Helper()
	n.add(way, "limit_data", fmt.Sprintf(`"bytes":%d`, bytes))
}

// Reset resets every connection at the next thing that goes in a direction.
func (n *Network) Reset(way Direction) {
	n.t.Helper()
	n.add(way, "reset_peer", `"timeout":0`)
}

func (n *Network) add(way Direction, kind, attributes string) {
	n.t.Helper()
	n.count++
	toxic := fmt.Sprintf(`{"name":"%d","type":%q,"stream":%q,"attributes":{%s}}`, n.count, kind, way, attributes)
	if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		n.t.Fatal(err)
	}
}

// Heal lets everything pass as before.
func (n *Network) Heal() { n.proxy.Toxics.ResetToxics(n.t.Context()) }
