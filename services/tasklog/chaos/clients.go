package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// asked is what a client asked for, and what it was told.
type asked struct {
	ID        string
	Name      string
	Accepted  bool // 202
	Fresh     int  // 202 that say that it is no duplicate
	Unknown   int  // answers that leave open whether it happened: 5xx, or none
	Recovered bool // after such an answer a later one said that it was there
	Refused   bool // 4xx

	Cancelled, Cancels int // cancellations that were acknowledged, and all that were asked for
	Retried, Retries   int // the same of retries
}

// clients ask the APIs for tasks, and remember what they were told.
type clients struct {
	apis []string
	http *http.Client

	mu   sync.Mutex
	list []*asked
	byID map[string]*asked
}

func newClients(apis []string) *clients {
	return &clients{
		apis: apis, byID: map[string]*asked{},
		http: &http.Client{Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 64}},
	}
}

func (c *clients) close() { c.http.CloseIdleConnections() }

// body is the JSON of a request for a task.
type body struct {
	Name        string          `json:"taskName"`
	ID          string          `json:"customJobId"`
	Queue       string          `json:"queue,omitempty"`
	Payload     json.RawMessage `json:"payload,omitempty"`
	Priority    int             `json:"priority,omitempty"`
	DelayMs     int             `json:"delayMs,omitempty"`
	MaxAttempts int             `json:"maxAttempts,omitempty"`
	TimeoutMs   int             `json:"timeoutMs,omitempty"`
	Backoff     *backoff        `json:"backoff,omitempty"`
}

type backoff struct {
	Type    string `json:"type"`
	DelayMs int    `json:"delayMs"`
}

// errUnknown is an answer that leaves open whether something happened.
var errUnknown = errors.New("unknown")

// post sends a request to one of the APIs. It returns the status and the answer, or errUnknown.
func (c *clients) post(ctx context.Context, dice *rand.Rand, path string, v any) (int, []byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, nil, err
	}
	patience := 4 * time.Second
	if dice.IntN(40) == 0 {
		patience = time.Duration(1+dice.IntN(10)) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.apis[dice.IntN(len(c.apis))]+path, bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errUnknown, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusInternalServerError {
		return 0, nil, fmt.Errorf("%w: status %d", errUnknown, resp.StatusCode)
	}
	return resp.StatusCode, answer, nil
}

// remember makes the record of a task that is about to be asked for.
func (c *clients) remember(id, name string) *asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &asked{ID: id, Name: name}
	c.list = append(c.list, a)
	c.byID[id] = a
	return a
}

// ask asks for a task until it is told what became of it; once only, if it leaves it at that.
func (c *clients) ask(ctx context.Context, dice *rand.Rand, a *asked, b body, leave bool) {
	for ctx.Err() == nil {
		status, answer, err := c.post(ctx, dice, "/api/tasks", b)
		var receipt struct {
			Duplicate bool `json:"duplicate"`
		}
		if status == http.StatusAccepted {
			err = json.Unmarshal(answer, &receipt)
		}
		c.mu.Lock()
		switch {
		case err != nil:
			a.Unknown++
		case status != http.StatusAccepted:
			a.Refused = true
		default:
			a.Accepted = true
			if !receipt.Duplicate {
				a.Fresh++
			} else if a.Unknown > 0 && a.Fresh == 0 {
				a.Recovered = true
			}
		}
		c.mu.Unlock()
		if err == nil || leave {
			return
		}
		wait(ctx, dice, 300*time.Millisecond)
	}
}

// cancel asks once to cancel a task.
func (c *clients) cancel(ctx context.Context, dice *rand.Rand, a *asked) {
	c.act(ctx, dice, "/api/tasks/"+a.ID+"/cancel", &a.Cancels, &a.Cancelled)
}

// retry asks once to retry a task.
func (c *clients) retry(ctx context.Context, dice *rand.Rand, a *asked) {
	c.act(ctx, dice, "/api/tasks/"+a.ID+"/retry", &a.Retries, &a.Retried)
}

func (c *clients) act(ctx context.Context, dice *rand.Rand, path string, tried, acknowledged *int) {
	c.mu.Lock()
	*tried++
	c.mu.Unlock()
	status, _, err := c.post(ctx, dice, path, struct{}{})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && status != http.StatusOK { // refused: nothing happened
		*tried--
	}
	if status == http.StatusOK {
		*acknowledged++
	}
}

// any returns a task that was asked for, of some name if there is one.
func (c *clients) any(dice *rand.Rand, name string) *asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range 50 {
		if len(c.list) == 0 {
			return nil
		}
		if a := c.list[dice.IntN(len(c.list))]; a.Name == name && a.Accepted {
			return a
		}
	}
	return nil
}

// record returns what was asked and told so far.
func (c *clients) record() []asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]asked, len(c.list))
	for i, a := range c.list {
		all[i] = *a
	}
	return all
}
