package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// network lies between the services and Redis: each process has a line of its own.
type network struct {
	lines map[string]*toxiproxy.Proxy
}

func newNetwork(upstream string, names []string) (*network, error) {
	n := &network{lines: map[string]*toxiproxy.Proxy{}}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for _, name := range names {
		line := toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)
		if err := line.Start(); err != nil {
			n.close()
			return nil, fmt.Errorf("proxy for %s: %w", name, err)
		}
		n.lines[name] = line
	}
	return n, nil
}

// redisURL is what a process is told that Redis is at.
func (n *network) redisURL(name string) string { return "redis://" + n.lines[name].Listen + "/0" }

// names are those of all lines.
func (n *network) names() (all []string) {
	for name := range n.lines {
		all = append(all, name)
	}
	return all
}

// disturb adds a toxic to lines. attributes is the JSON that toxiproxy documents for its kind.
func (n *network) disturb(kind, stream, attributes string, names ...string) error {
	for _, name := range names {
		toxic := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":%s}`, kind+stream, kind, stream, attributes)
		if _, err := n.lines[name].Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return fmt.Errorf("%s on the line of %s: %w", kind, name, err)
		}
	}
	return nil
}

// calm removes every toxic.
func (n *network) calm() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, line := range n.lines {
		line.Toxics.ResetToxics(ctx)
	}
}

func (n *network) close() {
	for _, line := range n.lines {
		line.Stop()
	}
}
