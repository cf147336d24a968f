// Package faults stands between a client and a Redis, and loses, cuts or answers chosen commands.
// It understands enough of RESP 2 to tell one command and its reply from the next, so that a test
// can lose the reply of one script call and nothing else.
//
// Latency, black holes and resets that know nothing of commands are toxiproxy's part.
package faults

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // Redis names scripts by it
	"encoding/hex"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A Proxy passes commands on, one after the other on each connection, until a fault happens.
type Proxy struct {
	upstream string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	left    int                 // how many commands the fault still befalls; Always
	hits    int                 // how many a fault befell
	scripts map[string]string   // digest → file name
	keys    map[string][]string // file name of a script → the keys of its last call
	sizes   [2]int              // bytes of the last script call and of its reply
	conns   map[net.Conn]bool   // nil when the proxy is closed
}

// Start starts a proxy to host:port on a free port. It stops when the test ends.
func Start(t testing.TB, upstream string) *Proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		upstream: upstream, listener: l,
		scripts: map[string]string{}, keys: map[string][]string{}, conns: map[net.Conn]bool{},
	}
	p.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.conns = nil
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

// URL is what eventlog.Connect takes.
func (p *Proxy) URL() string { return "redis://" + p.listener.Addr().String() + "/0" }

// Set chooses the fault of the next commands, in place of the one before, and returns how many
// commands a fault befell so far.
func (p *Proxy) Set(f Fault) (hits int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.left = f, f.Times
	if f.Times == 0 {
		p.left = 1
	}
	return p.hits
}

// Hits is how many commands a fault befell so far.
func (p *Proxy) Hits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

// Called returns the scripts that were called, by file name, and the keys of the last call of each.
// It knows those whose source a client has sent: flush them first.
func (p *Proxy) Called() map[string][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string][]string{}
	for name, keys := range p.keys {
		all[name] = keys
	}
	return all
}

// Sizes returns how many bytes the last script call had, and its reply.
func (p *Proxy) Sizes() (request, reply int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sizes[0], p.sizes[1]
}

// serve passes commands on, until one side closes or a fault cuts the connection.
func (p *Proxy) serve(client net.Conn) {
	defer p.forget(client)
	server, err := net.Dial("tcp", p.upstream) //nolint:noctx // it lives until the test ends
	if err != nil {
		return
	}
	defer p.forget(server)
	if !p.keep(client) || !p.keep(server) {
		return
	}
	from, back := bufio.NewReader(client), bufio.NewReader(server)
	for {
		request, err := readValue(from)
		if err != nil {
			return
		}
		c := p.learn(parse(request))
		f := p.judge(c)
		switch f.Kind {
		case DropRequest:
			return
		case CutRequest:
			_, _ = server.Write(request[:min(f.At, len(request))])
			return
		case Answer:
			if _, err := io.WriteString(client, "-"+f.Error+"\r\n"); err != nil {
				return
			}
			continue
		case None, DropReply, CutReply:
		}
		if _, err := server.Write(request); err != nil {
			return
		}
		if c.subscribes() {
			p.pour(client, server, from, back)
			return
		}
		reply, err := readValue(back)
		if err != nil || f.Kind == DropReply {
			return
		}
		if c.Calls() {
			p.measure(request, reply)
		}
		if f.Kind == CutReply {
			_, _ = client.Write(reply[:min(f.At, len(reply))])
			return
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// pour passes on whatever comes, both ways, until one side closes.
func (p *Proxy) pour(client, server net.Conn, from, back io.Reader) {
	p.running.Go(func() {
		_, _ = io.Copy(server, from)
		_ = server.Close()
	})
	_, _ = io.Copy(client, back)
}

// keep remembers a connection, to close it when the test ends, and reports whether that is yet to come.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// name is how a script's header begins. The last one of a source names it: others stand before it.
var name = regexp.MustCompile(`(?m)^-- ([a-z]+\.lua): `)

// learn remembers the script whose source a command carries, and says which one it calls.
func (p *Proxy) learn(c Command) Command {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.Is("evalsha") && len(c.Words) > 1:
		c.Script = p.scripts[strings.ToLower(c.Words[1])]
	case c.Is("eval") && len(c.Words) > 1:
		if names := name.FindAllStringSubmatch(c.Words[1], -1); len(names) > 0 {
			c.Script = names[len(names)-1][1]
			digest := sha1.Sum([]byte(c.Words[1])) //nolint:gosec // Redis names scripts by it
			p.scripts[hex.EncodeToString(digest[:])] = c.Script
		}
	}
	if c.Script != "" {
		p.keys[c.Script] = c.Keys()
	}
	return c
}

// judge says what becomes of a command.
func (p *Proxy) judge(c Command) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	only := p.fault.Only
	if only == nil {
		only = Command.Calls
	}
	if p.fault.Kind == None || p.left == 0 || !only(c) {
		return Fault{}
	}
	if p.left > 0 {
		p.left--
	}
	p.hits++
	return p.fault
}

// measure remembers how long a script call and its reply were.
func (p *Proxy) measure(request, reply []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sizes = [2]int{len(request), len(reply)}
}
