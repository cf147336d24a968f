package eventlog_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A fault is what a proxy does to the next script call.
type fault int

const (
	faultNone        fault = iota
	faultBefore            // cut the connection and do not pass it on
	faultAfter             // pass it on, and cut the connection instead of passing on the reply
	faultAfterAlways       // the same with every call
)

// A proxy stands between a client and a Redis. It understands enough of RESP to lose the reply of one
// command and no other.
type proxy struct {
	upstream string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	fault fault
	hit   int                 // how often a fault happened
	calls map[string][]string // sha of a script → the keys of its last call
	conns map[net.Conn]bool
}

func startProxy(t *testing.T, upstream string) *proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{upstream: upstream, listener: l, calls: map[string][]string{}, conns: map[net.Conn]bool{}}
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

func (p *proxy) url() string { return "redis://" + p.listener.Addr().String() + "/0" }

// set chooses what happens to the next script call, and returns how often something happened so far.
func (p *proxy) set(f fault) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	return p.hit
}

// serve passes commands on, one after the other, until one side closes or a fault happens.
func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.upstream) //nolint:noctx // it lives until the test ends
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p.mu.Lock()
	if p.conns == nil {
		p.mu.Unlock()
		return
	}
	p.conns[client] = true
	p.mu.Unlock()
	from, back := bufio.NewReader(client), bufio.NewReader(server)
	for {
		command, err := readValue(from)
		if err != nil {
			return
		}
		f := p.judge(command)
		if f == faultBefore {
			return
		}
		if _, err := server.Write(command); err != nil {
			return
		}
		reply, err := readValue(back)
		if err != nil || f == faultAfter {
			return
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// judge says what happens to a command, and remembers the keys of a script call.
func (p *proxy) judge(command []byte) fault {
	words := strings.Split(string(command), "\r\n") // *n $len word $len word …
	if len(words) < 7 || !strings.HasPrefix(strings.ToLower(words[2]), "eval") {
		return faultNone
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n, err := strconv.Atoi(words[6]); err == nil && strings.EqualFold(words[2], "evalsha") {
		var keys []string
		for i := range n {
			keys = append(keys, words[8+2*i])
		}
		p.calls[words[4]] = keys
	}
	f := p.fault
	switch f {
	case faultNone:
		return f
	case faultAfterAlways:
		f = faultAfter
	default:
		p.fault = faultNone
	}
	p.hit++
	return f
}

// readValue returns one command or reply, as it was sent.
func readValue(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line[1:]))) // of what has no length it is not used
	switch line[0] {
	case '+', '-', ':':
		return line, nil
	case '$':
		if n < 0 {
			return line, nil
		}
		body := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(r, body)
		return append(line, body...), err
	case '*':
		for range n {
			item, err := readValue(r)
			if err != nil {
				return nil, err
			}
			line = append(line, item...)
		}
		return line, nil
	}
	return nil, fmt.Errorf("what is %q?", line)
}
