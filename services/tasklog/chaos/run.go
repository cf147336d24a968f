package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/pause"
)

// leaseTTL is the shortest that a worker takes: leases are to end often.
const leaseTTL = 3 * time.Second

// patience is how long tasks may take to their ends when everything is healed. What takes longest is a task
// that came to the worker without its handler again and again: it may have to wait for two minutes more.
const patience = 4 * time.Minute

// plan is what a run is to do.
type plan struct {
	binary string
	length time.Duration // of the faults
	seed   uint64
	rate   int // tasks a second
}

// run carries out a plan, and judges what came of it. An error means that there is nothing to judge.
func run(ctx context.Context, p plan, dir string, logger *slog.Logger) (*result, error) {
	began := time.Now()
	h := &house{tally: newTally(), troubles: &troubles{}}
	defer h.close()
	if err := h.build(ctx, p.binary, dir, leaseTTL); err != nil {
		return nil, err
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "faults begin", slog.Uint64("seed", p.seed), slog.Duration("length", p.length))

	asking, stopAsking := context.WithCancel(ctx)
	answered, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var clients sync.WaitGroup
	clients.Go(func() { h.clients.load(answered, asking, p.seed, p.rate) })
	missing := h.disrupt(ctx, p, logger)
	stopAsking()
	err := errors.Join(h.heal(ctx), ctx.Err())
	if err != nil {
		giveUp()
		clients.Wait()
		return nil, err
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "all is healed: waiting until every task is final")
	healed := time.Now()
	late := time.AfterFunc(patience, giveUp)
	clients.Wait()
	late.Stop()

	asked := h.clients.record()
	told := newHistory()
	err = h.settle(ctx, told, asked)
	if err != nil {
		return nil, err
	}
	r := &result{plan: p, settled: time.Since(healed), missing: missing, verdict: judge(asked, h.sink.record(), told, h.excuse)}
	h.tally.into(r)
	if r.spoiled = told.undecodable; r.spoiled > h.spoiled {
		r.alarms = append(r.alarms, fmt.Sprintf("the log has %d entries that are no events, and %d were put there", r.spoiled, h.spoiled))
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "verifying the log and everything derived from it")
	r.verified, err = verify(ctx, p.binary, "redis://"+h.redis.addr+"/0")
	r.took = time.Since(began)
	select {
	case failed := <-h.failed:
		err = errors.Join(err, failed)
	default:
	}
	return r, err
}

// excuse reports whether a worker may have lost a lease by some time.
func (h *house) excuse(worker string, by time.Time) bool {
	return h.troubles.explain(worker, by, leaseTTL)
}

// disrupt injects faults for the time of the plan: one after the other, and beside them crashes of every
// service. It goes on until each fault happened and each crash point was hit, or gives up and says which
// are missing.
func (h *house) disrupt(ctx context.Context, p plan, logger *slog.Logger) (missing []string) {
	until := time.Now().Add(p.length)
	ctx, cancel := context.WithDeadline(ctx, until.Add(max(p.length, time.Minute)))
	defer cancel()
	var (
		tracks sync.WaitGroup
		mu     sync.Mutex
	)
	miss := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		missing = append(missing, what)
	}
	for i, kind := range processes {
		dice := rand.New(rand.NewPCG(p.seed, uint64(1000+i))) //nolint:gosec // it is to be repeatable
		tracks.Go(func() { h.crash(ctx, kind.service, until, dice, miss) })
	}
	h.inject(ctx, faults(leaseTTL, max(p.length/8, 2*leaseTTL)), until, rand.New(rand.NewPCG(p.seed, 999)), miss, logger) //nolint:gosec // as above
	tracks.Wait()
	return missing
}

// inject injects every fault, in any order, again and again until the time is over; the first round in
// any case.
func (h *house) inject(ctx context.Context, list []fault, until time.Time, dice *rand.Rand, miss func(string), logger *slog.Logger) {
	left := map[string]bool{}
	for _, f := range list {
		left[f.name] = true
	}
	for (time.Now().Before(until) || len(left) > 0) && ctx.Err() == nil {
		for _, i := range dice.Perm(len(list)) {
			f := list[i]
			if !left[f.name] && time.Now().After(until) {
				continue
			}
			wait(ctx, dice, 1200*time.Millisecond)
			logger.LogAttrs(ctx, slog.LevelDebug, "fault", slog.String("name", f.name))
			if err := f.do(ctx, h, dice); err != nil { // the next round tries again
				logger.LogAttrs(ctx, slog.LevelDebug, "fault not injected", slog.String("name", f.name), slog.Any("error", err))
				continue
			}
			h.tally.count(f.name)
			delete(left, f.name)
		}
	}
	for name := range left {
		miss(name)
	}
}

// crash kills processes of a service at its crash points, one after the other, until the time is over
// and every point was hit.
func (h *house) crash(ctx context.Context, service string, until time.Time, dice *rand.Rand, miss func(string)) {
	var points []crashpoint.Point
	for _, point := range crashpoint.Points {
		if strings.HasPrefix(string(point), service+".") {
			points = append(points, point)
		}
	}
	missed := func() (left []crashpoint.Point) {
		for _, point := range points {
			if h.tally.hits(point) == 0 {
				left = append(left, point)
			}
		}
		return left
	}
	for (time.Now().Before(until) || len(missed()) > 0) && ctx.Err() == nil {
		for _, i := range dice.Perm(len(points)) {
			if h.tally.hits(points[i]) > 0 && time.Now().After(until) {
				continue
			}
			sig := syscall.SIGTERM
			if dice.IntN(2) == 0 {
				sig = syscall.SIGKILL
			}
			nth := 1 + dice.IntN(5)
			p := h.victim(ctx, dice, service)
			p.crashAt(ctx, points[i], nth, sig, 6*time.Second)
			p.turn.Unlock()
			pause.For(ctx, time.Second+time.Duration(dice.Int64N(int64(2*time.Second))))
		}
	}
	for _, point := range missed() {
		miss("crash point " + string(point))
	}
}
