package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A peer is another queue. Its command, given the URL of a Redis, takes orders as lines of JSON and answers each by
// one, when it is done. Two such processes run: one asks for tasks, the other works, as users would have it.
type peer struct{ asks, works *hand }

// order is what a hand is told: see side for what each means.
type order struct {
	Do   string `json:"do"`
	N    int    `json:"n,omitzero"`
	Load load   `json:"load,omitzero"`
	Pace pace   `json:"pace,omitzero"`
}

// answer is what a hand says.
type answer struct {
	Error string    `json:"error"`
	None  bool      `json:"none"` // there is no such thing
	Late  []float64 `json:"late"`
	URL   string    `json:"url"`
}

// A hand is one process of a peer.
type hand struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// newSystem makes a system of NAME=COMMAND, whose words are separated by spaces.
func newSystem(text string) (system, error) {
	name, command, found := strings.Cut(text, "=")
	words := strings.Fields(command)
	if !found || len(words) == 0 {
		return system{}, fmt.Errorf("-peer %q: want NAME=COMMAND", text)
	}
	return system{name, func(ctx context.Context, srv *server) (side, error) {
		asks, err := newHand(ctx, append(words, srv.url))
		if err != nil {
			return nil, err
		}
		works, err := newHand(ctx, append(words, srv.url))
		if err != nil {
			asks.close()
			return nil, err
		}
		return &peer{asks, works}, nil
	}}, nil
}

func newHand(ctx context.Context, words []string) (*hand, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &hand{cmd, in, bufio.NewReader(out)}, nil
}

// close ends the process: it ends when there are no more orders.
func (h *hand) close() {
	_ = h.in.Close()
	end := time.AfterFunc(10*time.Second, func() { _ = h.cmd.Process.Kill() })
	defer end.Stop()
	_ = h.cmd.Wait() // what it did was measured before
}

func (h *hand) tell(ctx context.Context, o order) (answer, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := h.in.Write(append(line, '\n')); err != nil {
		return answer{}, fmt.Errorf("%s: %w", o.Do, err)
	}
	said, err := h.out.ReadBytes('\n')
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", o.Do, errors.Join(err, context.Cause(ctx)))
	}
	var a answer
	if err := json.Unmarshal(said, &a); err != nil {
		return answer{}, fmt.Errorf("%s: %w: %.100q", o.Do, err, said)
	}
	switch {
	case a.None:
		return a, errNone
	case a.Error != "":
		return a, fmt.Errorf("%s: %s", o.Do, a.Error)
	}
	return a, nil
}

func (p *peer) enqueue(ctx context.Context, l load) error {
	_, err := p.asks.tell(ctx, order{Do: "enqueue", Load: l})
	return err
}

func (p *peer) bulk(ctx context.Context, n int) error {
	_, err := p.asks.tell(ctx, order{Do: "bulk", N: n})
	return err
}

func (p *peer) pace(ctx context.Context, rate pace) error {
	_, err := p.asks.tell(ctx, order{Do: "pace", Pace: rate})
	return err
}

// attend has nothing to start: the worker of a peer does it all.
func (p *peer) attend(context.Context) error { return nil }

func (p *peer) work(ctx context.Context, concurrency int) error {
	_, err := p.works.tell(ctx, order{Do: "work", N: concurrency})
	return err
}

func (p *peer) begun(ctx context.Context, n int) error {
	_, err := p.works.tell(ctx, order{Do: "begun", N: n})
	return err
}

func (p *peer) finished(ctx context.Context, n int) error {
	_, err := p.works.tell(ctx, order{Do: "finished", N: n})
	return err
}

// settled has nothing to wait for: a peer keeps no views.
func (p *peer) settled(context.Context) error { return nil }

func (p *peer) late(ctx context.Context) ([]float64, error) {
	a, err := p.works.tell(ctx, order{Do: "late"})
	return a.Late, err
}

func (p *peer) serve(ctx context.Context) (string, error) {
	a, err := p.asks.tell(ctx, order{Do: "serve"})
	return a.URL, err
}

func (p *peer) cpu() (time.Duration, error) {
	a, err := cpuOf(p.asks.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	b, err := cpuOf(p.works.cmd.Process.Pid)
	return a + b, err
}

func (p *peer) close() {
	p.works.close()
	p.asks.close()
}

// cpuOf returns the processor time of a process, by proc(5), which counts hundredths of a second.
func cpuOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name of the program, in parentheses, may have spaces.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const user, system = 11, 12 // fields 14 and 15, and two came before
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	var sum time.Duration
	for _, f := range []string{fields[user], fields[system]} {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		sum += time.Duration(ticks) * 10 * time.Millisecond
	}
	return sum, nil
}
