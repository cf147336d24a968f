package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

// A fault is something that goes wrong. Its function does it, and undoes it where it does not heal by
// itself; its error says why it could not be done.
type fault struct {
	name string
	do   func(ctx context.Context, h *house, dice *rand.Rand) error
}

// faults lists those that happen one at a time. Faults that stop something last for multiples of the lease
// TTL, as long as most at the longest.
func faults(ttl, most time.Duration) []fault {
	list := []fault{
		{"SIGTERM to every process in turn", rolling},
		{"kill -9 of a worker during a handler", killDuringHandler},
		{"Redis: SHUTDOWN, start after 1.3 leases", restartRedis((*server).shutdown, ttl*13/10)},
		{"Redis: kill -9 and start", restartRedis((*server).kill, 300*time.Millisecond)},
		{"Redis: CLIENT KILL of all", redisCommand("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")},
		{"Redis: SCRIPT FLUSH", redisCommand("SCRIPT", "FLUSH")},
		{"Redis: XGROUP DESTROY", onDue(func(key string) []any { return []any{"XGROUP", "DESTROY", key, eventlog.Group} })},
		{"Redis: DEL of a dispatch stream", onDue(func(key string) []any { return []any{"DEL", key} })},
		{"Redis: DEL of mutexes that are held", dropLocks},
		{"Redis: leases removed", dropLeases},
		{"Redis: maxmemory reached for 1.3 leases", fill(ttl * 13 / 10)},
		{"network: latency 100 ± 50 ms", disturbAll("latency", "downstream", `{"latency":100,"jitter":50}`, 3*time.Second)},
		{"network: connections reset", disturbAll("reset_peer", "downstream", `{"timeout":0}`, 300*time.Millisecond)},
		{"network: replies cut after 2000 bytes", disturbAll("limit_data", "downstream", `{"bytes":2000}`, time.Second)},
		{"network: one service cut off for 1.3 leases", cutOff(ttl * 13 / 10)},
		{"network: replies to one service lost", loseReplies(time.Second)},
		{"dispatch entries doubled", double},
		{"undecodable entries in every stream", spoil},
	}
	for _, n := range []int{1, 2, 5} {
		length := time.Duration(n)*ttl + ttl/5
		if length > most {
			continue
		}
		list = append(list,
			fault{fmt.Sprintf("SIGSTOP of a service for %d leases", n), stopService(length)},
			fault{fmt.Sprintf("SIGSTOP of Redis for %d leases", n), func(ctx context.Context, h *house, _ *rand.Rand) error {
				h.redis.signal(syscall.SIGSTOP)
				defer h.redis.signal(syscall.SIGCONT)
				pause.For(ctx, length)
				return ctx.Err()
			}})
	}
	return list
}

// rolling ends one process after the other in good order, as an upgrade does.
func rolling(ctx context.Context, h *house, _ *rand.Rand) error {
	for _, p := range h.processes {
		p.turn.Lock()
		p.restart(ctx, syscall.SIGTERM)
		p.turn.Unlock()
	}
	return ctx.Err()
}

// killDuringHandler kills a worker whose handler is at work.
func killDuringHandler(ctx context.Context, h *house, _ *rand.Rand) error {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	worker := h.sink.nextSlow(ctx)
	for _, p := range h.processes {
		if p.name == worker {
			p.restart(ctx, syscall.SIGKILL)
			return ctx.Err()
		}
	}
	return errors.New("no worker began a slow task")
}

func stopService(length time.Duration) func(context.Context, *house, *rand.Rand) error {
	return func(ctx context.Context, h *house, dice *rand.Rand) error {
		p := h.victim(ctx, dice, "api", "scheduler", "worker", "worker", "projector")
		defer p.turn.Unlock()
		defer h.troubles.during(p.name)()
		p.signal(syscall.SIGSTOP)
		defer p.signal(syscall.SIGCONT)
		pause.For(ctx, length)
		return ctx.Err()
	}
}

// restartRedis ends Redis in some way, and starts it again on the data that it wrote.
func restartRedis(end func(*server, context.Context) error, away time.Duration) func(context.Context, *house, *rand.Rand) error {
	return func(ctx context.Context, h *house, _ *rand.Rand) error {
		if err := end(h.redis, ctx); err != nil {
			return err
		}
		h.redis.wait()
		pause.For(ctx, away)
		return h.redis.launch(ctx)
	}
}

func redisCommand(args ...any) func(context.Context, *house, *rand.Rand) error {
	return func(ctx context.Context, h *house, _ *rand.Rand) error { return h.redis.rdb.Do(ctx, args...).Err() }
}

// onDue does something to the dispatch stream of any queue.
func onDue(command func(key string) []any) func(context.Context, *house, *rand.Rand) error {
	return func(ctx context.Context, h *house, dice *rand.Rand) error {
		return h.redis.rdb.Do(ctx, command(h.anyPart(dice).Due(queues[dice.IntN(len(queues))]))...).Err()
	}
}

// dropLocks removes the mutexes of what runs: the rows fence, not these.
func dropLocks(ctx context.Context, h *house, dice *rand.Rand) error {
	part := h.anyPart(dice)
	active, err := h.redis.rdb.ZRange(ctx, part.Leases, 0, -1).Result()
	if err != nil || len(active) == 0 {
		return err
	}
	keys := make([]string, len(active))
	for i, task := range active {
		keys[i] = part.Lock(task)
	}
	return h.redis.rdb.Del(ctx, keys...).Err()
}

// dropLeases removes the leases of half of what runs: heartbeats, or the reconciler, put them back.
func dropLeases(ctx context.Context, h *house, dice *rand.Rand) error {
	part := h.anyPart(dice)
	defer h.troubles.during("")()
	n, err := h.redis.rdb.ZCard(ctx, part.Leases).Result()
	if err != nil {
		return err
	}
	return h.redis.rdb.ZRemRangeByRank(ctx, part.Leases, 0, n/2).Err()
}

// fill lets Redis reach its maxmemory, and gives it room again after a time.
func fill(length time.Duration) func(context.Context, *house, *rand.Rand) error {
	return func(ctx context.Context, h *house, _ *rand.Rand) error { return h.fill(ctx, length) }
}

func (h *house) fill(ctx context.Context, length time.Duration) error {
	const filler = "chaos:filler:"
	rdb := h.redis.rdb
	info, err := rdb.Info(ctx, "memory").Result()
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(info, "used_memory:")
	used, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(after, "\n", 2)[0]), 10, 64)
	if err != nil {
		return fmt.Errorf("INFO memory: %w", err)
	}
	if err := rdb.ConfigSet(ctx, "maxmemory", strconv.FormatInt(used+1<<20, 10)).Err(); err != nil {
		return err
	}
	defer func() { // also when ctx has ended
		ctx := context.WithoutCancel(ctx)
		_ = h.redis.insist(ctx, func() error { return rdb.ConfigSet(ctx, "maxmemory", "0").Err() })
		for i := range 100 {
			_ = h.redis.insist(ctx, func() error { return rdb.Del(ctx, filler+strconv.Itoa(i)).Err() })
		}
	}()
	full := strings.Repeat("x", 64<<10)
	for i := range 100 {
		if err = rdb.Set(ctx, filler+strconv.Itoa(i), full, 0).Err(); err != nil {
			break
		}
	}
	if !eventlog.Full(err) {
		return fmt.Errorf("redis did not run out of memory: %w", err)
	}
	pause.For(ctx, length)
	return ctx.Err()
}

func disturbAll(kind, stream, attributes string, length time.Duration) func(context.Context, *house, *rand.Rand) error {
	return func(ctx context.Context, h *house, _ *rand.Rand) error {
		defer h.net.calm()
		err := h.net.disturb(kind, stream, attributes, h.net.names()...)
		pause.For(ctx, length)
		return err
	}
}

// cutOff lets nothing through between Redis and one process, in neither direction.
func cutOff(length time.Duration) func(context.Context, *house, *rand.Rand) error {
	return func(ctx context.Context, h *house, dice *rand.Rand) error {
		p := h.victim(ctx, dice, "scheduler", "worker", "projector")
		defer p.turn.Unlock()
		defer h.net.calm()
		defer h.troubles.during(p.name)()
		err := errors.Join(h.net.disturb("timeout", "downstream", `{"timeout":0}`, p.name),
			h.net.disturb("timeout", "upstream", `{"timeout":0}`, p.name))
		pause.For(ctx, length)
		return err
	}
}

// loseReplies lets one process ask Redis and hear nothing: what it asked happened.
func loseReplies(length time.Duration) func(context.Context, *house, *rand.Rand) error {
	return func(ctx context.Context, h *house, dice *rand.Rand) error {
		p := h.victim(ctx, dice, "api", "scheduler", "worker", "projector")
		defer p.turn.Unlock()
		defer h.net.calm()
		defer h.troubles.during(p.name)()
		err := h.net.disturb("timeout", "downstream", `{"timeout":400}`, p.name)
		pause.For(ctx, length)
		return err
	}
}
