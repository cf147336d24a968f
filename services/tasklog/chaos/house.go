package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

// The log: what stands before its keys, and its streams.
const (
	prefix     = "tasklog"
	partitions = 2
)

// processes says how many there are of each service.
var processes = []struct {
	service string
	n       int
}{{"api", 2}, {"scheduler", 2}, {"worker", 3}, {"projector", 2}}

// house is everything that runs: Redis, the network, the services, the clients and the sink.
type house struct {
	redis     *server
	net       *network
	sink      *sink
	clients   *clients
	processes []*process
	log       *eventlog.Log // past the network
	tally     *tally
	troubles  *troubles
	spoiled   int // undecodable entries that were added to the log, or perhaps were

	stop    context.CancelFunc
	running sync.WaitGroup
	failed  chan error
}

// build starts all of it in a folder. close ends it.
func (h *house) build(ctx context.Context, binary, dir string, ttl time.Duration) (err error) {
	if h.redis, err = startServer(ctx, dir); err != nil {
		return err
	}
	conn, err := eventlog.Connect("redis://" + h.redis.addr + "/0")
	if err != nil {
		return err
	}
	if h.log, err = eventlog.Open(ctx, conn, eventlog.Config{Prefix: prefix, Partitions: partitions}); err != nil {
		_ = conn.Close() // nothing was asked
		return err
	}
	if h.sink, err = startSink(ctx, ttl); err != nil {
		return err
	}
	var names, apis []string
	for _, kind := range processes {
		for i := range kind.n {
			p := &process{
				name: fmt.Sprintf("%s-%d", kind.service, i+1), service: kind.service,
				binary: binary, dir: dir, tally: h.tally, troubles: h.troubles, args: []string{kind.service},
			}
			switch kind.service {
			case "api":
				port, err := freePort(ctx)
				if err != nil {
					return err
				}
				addr := fmt.Sprintf("127.0.0.1:%d", port)
				p.env, apis = append(p.env, "TASKLOG_ADDR="+addr), append(apis, "http://"+addr)
			case "worker":
				file := dir + "/" + p.name + ".yml"
				if err := h.sink.handlers(file, p.name, i == kind.n-1); err != nil {
					return err
				}
				p.env = append(p.env, "TASKLOG_HANDLERS="+file)
			}
			h.processes, names = append(h.processes, p), append(names, p.name)
		}
	}
	if h.net, err = newNetwork(h.redis.addr, names); err != nil {
		return err
	}
	h.clients = newClients(apis)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop, h.failed = stop, make(chan error, len(h.processes))
	h.running.Go(func() { h.troubles.watch(running) })
	for _, p := range h.processes {
		p.env = append(p.env, "TASKLOG_REDIS_URL="+h.net.redisURL(p.name), "TASKLOG_PREFIX="+prefix,
			"TASKLOG_PARTITIONS="+strconv.Itoa(partitions),
			"TASKLOG_LEASE_TTL="+ttl.String(), "TASKLOG_RECONCILE_EVERY=500ms", "TASKLOG_CONCURRENCY=16",
			"TASKLOG_GRACE=1s", "TASKLOG_REDIS_WAIT=5m", "TASKLOG_PROJECTOR_LEASE_TTL=3s", "TASKLOG_LOG_FORMAT=text")
		h.running.Go(func() {
			if err := p.run(running); err != nil {
				h.failed <- err
			}
		})
	}
	return nil
}

// victim returns any process of some services with its turn taken: the caller gives that back.
func (h *house) victim(ctx context.Context, dice *rand.Rand, services ...string) *process {
	service := services[dice.IntN(len(services))]
	for {
		for _, i := range dice.Perm(len(h.processes)) {
			if p := h.processes[i]; p.service == service && (p.turn.TryLock() || ctx.Err() != nil) {
				return p
			}
		}
		pause.For(ctx, 20*time.Millisecond)
	}
}

// anyPart returns any partition.
func (h *house) anyPart(dice *rand.Rand) eventlog.Partition {
	return h.log.Partitions()[dice.IntN(partitions)]
}

// heal undoes whatever is still wrong.
func (h *house) heal(ctx context.Context) error {
	h.net.calm()
	h.redis.signal(syscall.SIGCONT)
	for _, p := range h.processes {
		p.signal(syscall.SIGCONT)
	}
	err := h.redis.insist(ctx, func() error { return h.redis.rdb.ConfigSet(ctx, "maxmemory", "0").Err() })
	for _, p := range h.processes {
		if p.service == "worker" { // the last one gets the handler that it has not, as by a deployment
			err = errors.Join(err, h.sink.handlers(p.dir+"/"+p.name+".yml", p.name, false))
			p.restart(ctx, syscall.SIGTERM)
		}
	}
	if err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	return nil
}

// close ends all of it, the services first.
func (h *house) close() {
	if h.stop != nil {
		h.stop()
		h.running.Wait()
	}
	if h.clients != nil {
		h.clients.close()
	}
	if h.net != nil {
		h.net.close()
	}
	if h.sink != nil {
		h.sink.close()
	}
	if h.log != nil {
		_ = h.log.Conn().Close() // it was read only
	}
	if h.redis != nil {
		h.redis.close()
	}
}
