package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tasklog/tasklog/services/client"
)

// stamp is the payload of a task that tells when it is due: 100 bytes, or one or two less.
type stamp struct {
	Due  float64 `json:"due"` // ms since the epoch
	Data string  `json:"data"`
}

func stamped(due time.Time) stamp {
	return stamp{Due: float64(due.UnixMicro()) / 1000, Data: strings.Repeat("x", 65)}
}

func (t *tasklog) pace(ctx context.Context, p pace) error {
	return paced(ctx, p, func(due time.Time, delayed bool) error {
		task := client.Task{Name: "stamped", Payload: stamped(due)}
		if delayed {
			task.RunAt = due
		}
		_, err := t.client.Enqueue(ctx, task)
		return err
	})
}

// paced calls ask at a rate, each time in a goroutine of its own, so that a slow answer holds up nobody, with
// the time at which the task is due. It returns when all have answered.
func paced(ctx context.Context, p pace, ask func(due time.Time, delayed bool) error) error {
	var all sync.WaitGroup
	errs := make(chan error, p.N)
	began := time.Now()
	for i := range p.N {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(p.PerSec)))):
		}
		delay := p.delay(i)
		all.Go(func() {
			due := time.Now().Add(delay)
			if delay > 0 { // a due time has whole milliseconds
				due = due.Truncate(time.Millisecond)
			}
			if err := ask(due, delay > 0); err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// immediate tells how soon handlers begin after they were asked for, at 500 tasks a second.
func (b bench) immediate(ctx context.Context, s side, _ *server) (figures, error) {
	return b.latency(ctx, s, pace{PerSec: 500}, s.pace)
}

// immediateHTTP is immediate for tasks that are posted to the API.
func (b bench) immediateHTTP(ctx context.Context, s side, _ *server) (figures, error) {
	url, err := s.serve(ctx)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	return b.latency(ctx, s, pace{PerSec: 500}, func(ctx context.Context, p pace) error {
		return paced(ctx, p, func(due time.Time, _ bool) error {
			body, err := json.Marshal(map[string]any{"taskName": "stamped", "payload": stamped(due)})
			if err != nil {
				return err
			}
			return post(ctx, c, url, body)
		})
	})
}

// delayed tells how late handlers begin of tasks that are due 1 to 5 s after they were asked for.
func (b bench) delayed(ctx context.Context, s side, _ *server) (figures, error) {
	return b.latency(ctx, s, pace{PerSec: 500, FromMs: 1000, ToMs: 5000}, s.pace)
}

// latency asks for tasks at a rate, for a window, and tells how late their handlers began. A tenth as
// many, which are due at once, come before and do not count: connections and scripts are there then.
func (b bench) latency(ctx context.Context, s side, p pace, ask func(context.Context, pace) error) (figures, error) {
	if err := start(ctx, s, b.concurrency); err != nil {
		return nil, err
	}
	total := int(b.window.Seconds() * float64(p.PerSec))
	p.N = total
	warm := pace{N: max(total/10, 1), PerSec: p.PerSec}
	for n, part := range []pace{warm, p} {
		if err := ask(ctx, part); err != nil {
			return nil, err
		}
		if err := s.begun(ctx, warm.N+n*p.N); err != nil {
			return nil, err
		}
	}
	late, err := s.late(ctx)
	if err != nil {
		return nil, err
	}
	return spread(late[warm.N:]), nil
}

// post asks an API for a task.
func post(ctx context.Context, c *http.Client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close() // it was read
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("POST %s: %s", url, resp.Status)
	}
	return err
}
