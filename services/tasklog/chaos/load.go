package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tasklog/tasklog/infra/pause"
)

// queues are those of the tasks; the last one is paused now and then.
var queues = []string{"default", "mail", "bulk"}

const (
	askers = 32   // that ask for tasks at the same time, at the most
	least  = 3000 // ms: the longest delay of a task
)

// load asks for tasks at a rate until asking ends, and returns when every client has been told what
// became of its task; or when ctx ends.
func (c *clients) load(ctx, asking context.Context, seed uint64, rate int) {
	turns := make(chan int)
	var wg sync.WaitGroup
	for n := range askers {
		wg.Go(func() {
			dice := rand.New(rand.NewPCG(seed, uint64(n))) //nolint:gosec // it is to be repeatable
			for turn := range turns {
				c.one(ctx, dice, &wg, turn)
			}
		})
	}
	wg.Go(func() { c.operate(ctx, asking, rand.New(rand.NewPCG(seed, askers))) }) //nolint:gosec // as above
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for turn := 0; asking.Err() == nil; turn++ {
		select {
		case <-asking.Done():
		case <-tick.C:
			select {
			case turns <- turn:
			case <-asking.Done():
			}
		}
	}
	close(turns)
	wg.Wait()
}

// one asks for one task, and perhaps for its end.
func (c *clients) one(ctx context.Context, dice *rand.Rand, wg *sync.WaitGroup, turn int) {
	b := anyTask(dice, fmt.Sprintf("task-%06d", turn))
	a := c.remember(b.ID, b.Name)
	leave, twice, cancel, later := dice.IntN(20) == 0, dice.IntN(30) == 0, dice.IntN(25) == 0, dice.Uint64()
	if twice { // as when a client loses patience and another one does the same
		wg.Go(func() { c.ask(ctx, rand.New(rand.NewPCG(later, 1)), a, b, false) }) //nolint:gosec // as above
	}
	c.ask(ctx, dice, a, b, leave)
	if cancel {
		wg.Go(func() {
			dice := rand.New(rand.NewPCG(later, 2)) //nolint:gosec // as above
			wait(ctx, dice, 1500*time.Millisecond)
			c.cancel(ctx, dice, a)
		})
	}
}

// anyTask makes a request: mostly quick ones, some of each other kind, and a few that must be refused.
func anyTask(dice *rand.Rand, id string) body {
	b := body{Name: quick, ID: id, Queue: queues[dice.IntN(len(queues))], Priority: dice.IntN(4)}
	b.Payload = json.RawMessage(fmt.Sprintf(`{"n":%d}`, dice.IntN(1000)))
	b.Backoff = &backoff{"fixed", 100 + dice.IntN(400)}
	if dice.IntN(3) == 0 {
		b.DelayMs = 1 + dice.IntN(least)
	}
	b.MaxAttempts = 20 // of which crashes take some
	switch n := dice.IntN(100); {
	case n < 10:
		b.Name = slow
	case n < 18:
		b.Name = flaky
	case n < 22:
		b.Name, b.MaxAttempts = doomed, doomedAttempts
	case n < 24:
		b.Name = reject
	case n < 26:
		b.Name = busy
	case n < 28:
		b.Name, b.TimeoutMs = sluggish, 500
	case n < 31:
		b.Name = rare
	case n < 33:
		b.Priority = -1
	}
	return b
}

// operate retries what failed and pauses a queue now and then, until asking ends. It leaves no pause behind.
func (c *clients) operate(ctx, asking context.Context, dice *rand.Rand) {
	paused := "/api/queues/" + queues[len(queues)-1]
	for asking.Err() == nil {
		wait(asking, dice, time.Second)
		if a := c.any(dice, doomed); a != nil {
			c.retry(ctx, dice, a)
		}
		if dice.IntN(4) == 0 {
			_, _, _ = c.post(ctx, dice, paused+"/pause", struct{}{}) // whether it happened: see below
			wait(asking, dice, 2*time.Second)
			for ctx.Err() == nil {
				if _, _, err := c.post(ctx, dice, paused+"/resume", struct{}{}); err == nil {
					break
				}
				wait(ctx, dice, 300*time.Millisecond)
			}
		}
	}
}

// wait waits for a while, at the most as long as most.
func wait(ctx context.Context, dice *rand.Rand, most time.Duration) {
	pause.For(ctx, time.Duration(dice.Int64N(int64(most))))
}
