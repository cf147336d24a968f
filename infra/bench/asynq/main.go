// Asynq is a peer for services/tasklog/bench: given the URL of a Redis, it takes orders as lines of JSON and
// answers each by one, when it is done. It uses asynq with its defaults.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

// order is what the benchmark wants: see side there.
type order struct {
	Do   string `json:"do"`
	N    int    `json:"n"`
	Load struct {
		N       int  `json:"n"`
		Callers int  `json:"callers"`
		Keep    bool `json:"keep"`
	} `json:"load"`
	Pace struct {
		N      int `json:"n"`
		PerSec int `json:"perSec"`
		FromMs int `json:"fromMs"`
		ToMs   int `json:"toMs"`
	} `json:"pace"`
}

type answer struct {
	Error string    `json:"error,omitempty"`
	None  bool      `json:"none,omitempty"`
	Late  []float64 `json:"late,omitempty"`
}

var errNone = errors.New("asynq has no such thing")

// stamp is the payload of a task that tells when it is due.
type stamp struct {
	Due  float64 `json:"due"` // ms since the epoch
	Data string  `json:"data"`
}

// payload has 100 bytes.
var payload = []byte(`{"data":"` + strings.Repeat("x", 89) + `"}`)

type peer struct {
	redis  asynq.RedisConnOpt
	client *asynq.Client
	server *asynq.Server // nil: it does not work

	handlers atomic.Int64 // that have begun
	mu       sync.Mutex
	lates    []float64
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: asynq REDIS-URL")
		os.Exit(2)
	}
	redis, err := asynq.ParseRedisURI(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "asynq:", err)
		os.Exit(2)
	}
	p := &peer{redis: redis, client: asynq.NewClient(redis)}
	defer p.close()
	orders, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for orders.Scan() {
		var o order
		var a answer
		err := json.Unmarshal(orders.Bytes(), &o)
		if err == nil {
			a, err = p.follow(context.Background(), o)
		}
		if errors.Is(err, errNone) {
			a.None = true
		} else if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return // nobody listens
		}
	}
}

func (p *peer) follow(ctx context.Context, o order) (answer, error) {
	switch o.Do {
	case "enqueue":
		return answer{}, p.enqueue(ctx, o)
	case "pace":
		return answer{}, p.pace(ctx, o)
	case "work":
		return answer{}, p.work(o.N)
	case "begun", "finished": // asynq marks a task as done right after its handler
		for p.handlers.Load() < int64(o.N) {
			time.Sleep(time.Millisecond)
		}
		return answer{}, nil
	case "late":
		p.mu.Lock()
		defer p.mu.Unlock()
		return answer{Late: p.lates}, nil
	default:
		return answer{}, errNone
	}
}

func (p *peer) enqueue(ctx context.Context, o order) error {
	var opts []asynq.Option
	if o.Load.Keep { // it forgets completed tasks unless it is told so
		opts = append(opts, asynq.Retention(24*time.Hour))
	}
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, o.Load.Callers)
	for range o.Load.Callers {
		all.Go(func() {
			for next.Add(1) <= int64(o.Load.N) {
				if _, err := p.client.EnqueueContext(ctx, asynq.NewTask("noop", payload), opts...); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

func (p *peer) pace(ctx context.Context, o order) error {
	var all sync.WaitGroup
	errs := make(chan error, o.Pace.N)
	began := time.Now()
	for i := range o.Pace.N {
		<-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(o.Pace.PerSec))))
		all.Go(func() {
			due := time.Now()
			var opts []asynq.Option
			if o.Pace.ToMs > o.Pace.FromMs {
				due = due.Add(time.Duration(o.Pace.FromMs+i*7919%(o.Pace.ToMs-o.Pace.FromMs)) * time.Millisecond)
				opts = append(opts, asynq.ProcessAt(due))
			}
			body, err := json.Marshal(stamp{float64(due.UnixMicro()) / 1000, strings.Repeat("x", 65)})
			if err == nil {
				_, err = p.client.EnqueueContext(ctx, asynq.NewTask("stamped", body), opts...)
			}
			if err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

func (p *peer) work(concurrency int) error {
	p.server = asynq.NewServer(p.redis, asynq.Config{Concurrency: concurrency, LogLevel: asynq.WarnLevel})
	mux := asynq.NewServeMux()
	mux.HandleFunc("noop", func(context.Context, *asynq.Task) error {
		p.handlers.Add(1)
		return nil
	})
	mux.HandleFunc("stamped", func(_ context.Context, t *asynq.Task) error {
		now := float64(time.Now().UnixMicro()) / 1000
		var s stamp
		if err := json.Unmarshal(t.Payload(), &s); err != nil {
			return err
		}
		p.mu.Lock()
		p.lates = append(p.lates, now-s.Due)
		p.mu.Unlock()
		p.handlers.Add(1)
		return nil
	})
	return p.server.Start(mux)
}

func (p *peer) close() {
	if p.server != nil {
		p.server.Shutdown()
	}
	_ = p.client.Close() // the row is over
}
