package api

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/semaphore"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/wire"
)

const (
	systemAge = 2 * time.Second  // how old an answer may be: any number of readers cost Redis no more than one
	rateAge   = time.Minute      // how old what a rate is counted from may be
	endAge    = 30 * time.Second // how old the end of the archive may be: a bucket is asked for it
)

// system is how the log and its Redis were when somebody last asked.
type system struct {
	turn   *semaphore.Weighted // of the one who looks
	at     time.Time           // by our clock; zero: never
	now    wire.System
	before []sample // by partition
	ends   []end    // by partition
}

// sample is how many entries there ever were at some time.
type sample struct {
	at    time.Time
	added int64
}

// end is where the archive ended at some time.
type end struct {
	at  time.Time
	id  events.ID
	err error
}

func newSystem(partitions int) *system {
	return &system{turn: semaphore.NewWeighted(1), before: make([]sample, partitions), ends: make([]end, partitions)}
}

// showSystem serves GET /api/system.
func (a *API) showSystem(c *gin.Context) {
	if _, err := query(c); err != nil {
		a.fail(c, err)
		return
	}
	s, err := a.system(c.Request.Context())
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, s)
}

// system returns how the log and its Redis are, or were up to two seconds ago. It is not to be changed.
func (a *API) system(ctx context.Context) (wire.System, error) {
	s := a.sys
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return wire.System{}, err
	}
	defer s.turn.Release(1)
	if !s.at.IsZero() && time.Since(s.at) < systemAge {
		return s.now, nil
	}
	servers, err := a.log.Conn().Servers(ctx)
	if err != nil {
		return wire.System{}, err
	}
	lags, err := a.views.Lag(ctx)
	if err != nil {
		return wire.System{}, err
	}
	now, err := a.log.Now(ctx)
	if err != nil {
		return wire.System{}, err
	}
	found := wire.System{At: wire.Stamp(now.UnixMilli()), Redis: redisOf(servers)}
	for i, p := range a.log.Partitions() {
		part, err := a.partition(ctx, p, lags[i])
		if err != nil {
			return wire.System{}, err
		}
		found.Log = append(found.Log, part)
	}
	s.at, s.now = time.Now(), found
	return found, nil
}

// redisOf tells of a server, or of the masters of a cluster as one: sums, the shortest life, and the worst of each.
func redisOf(servers []eventlog.Server) wire.Redis {
	all := servers[0]
	doubts := map[string]bool{}
	for i, s := range servers {
		if i > 0 {
			all.Memory += s.Memory
			all.MaxMemory += s.MaxMemory
			all.RSS += s.RSS
			all.Clients += s.Clients
			all.Ops += s.Ops
			all.Uptime = min(all.Uptime, s.Uptime)
			all.AOF = min(all.AOF, s.AOF)                // "0" before "1"
			all.Snapshot = min(all.Snapshot, s.Snapshot) // "err" before "ok"
			all.Append = min(all.Append, s.Append)
		}
		if err := s.Unfit(); err != nil {
			doubts[err.Error()] = true
		}
		for _, why := range s.Doubts() {
			doubts[why] = true
		}
	}
	r := wire.Redis{
		Version: all.Version, Memory: all.Memory, MaxMemory: all.MaxMemory, RSS: all.RSS, Policy: all.Policy, Clients: all.Clients,
		OpsPerSecond: all.Ops, UptimeMs: all.Uptime * 1000, LastSnapshot: all.Snapshot, LastAppend: all.Append,
		Doubts: append([]string{}, slices.Sorted(maps.Keys(doubts))...),
	}
	if all.AOF != "" {
		r.AOF = new(all.AOF == "1")
	}
	return r
}

// partition tells of one partition, of which the views are so far behind.
func (a *API) partition(ctx context.Context, p eventlog.Partition, lag views.Lag) (wire.Partition, error) {
	info, err := a.log.Info(ctx, p)
	if err != nil {
		return wire.Partition{}, err
	}
	part := wire.Partition{Partition: p.N, Entries: info.Length, Trimmed: max(0, info.Added-info.Length), PerSecond: a.sys.rate(p, info)}
	if info.Length > 0 {
		part.FirstID, part.LastID = info.First.String(), info.Last.String()
	}
	if part.Bytes, err = a.log.Bytes(ctx, p); err != nil {
		return part, err
	}
	at, err := a.views.Checkpoint(ctx, p)
	if err != nil {
		return part, unusable(err)
	}
	part.Readers = append(part.Readers, wire.Reader{
		Name: "views", Kind: "views", At: at.String(), Entries: &lag.Entries, BehindMs: lag.Behind.Milliseconds(),
	})
	readers, err := a.log.ReadersOf(ctx, p)
	if err != nil {
		return part, err
	}
	for _, r := range readers {
		v := wire.Reader{Name: r.Name, Kind: "reader", At: r.At.String(), BehindMs: behind(r.At, info), Pending: r.Pending}
		if r.Group {
			v.Kind = "group"
		}
		if r.Entries >= 0 {
			v.Entries = &r.Entries
		}
		part.Readers = append(part.Readers, v)
	}
	if a.log.HasArchive() {
		part.Readers = append(part.Readers, a.archived(ctx, p, info))
	}
	return part, nil
}

// behind is how many ms of a log lie behind an entry. A reader that is before the first one is as far behind as
// the log is long.
func behind(at events.ID, info eventlog.Info) int64 {
	from := max(at.Ms, info.First.Ms)
	if from == 0 {
		return 0
	}
	return max(0, info.Last.Ms-from)
}

// rate is how many entries a second were added since the sample before; nil when there is none.
func (s *system) rate(p eventlog.Partition, info eventlog.Info) *float64 {
	before, now := s.before[p.N], sample{time.Now(), info.Added}
	if info.Added < 0 {
		return nil
	}
	s.before[p.N] = now
	since := now.at.Sub(before.at)
	if before.at.IsZero() || since > rateAge || since <= 0 || now.added < before.added {
		return nil
	}
	return new(float64(now.added-before.added) / since.Seconds())
}

// archived tells of the archive as of a reader.
func (a *API) archived(ctx context.Context, p eventlog.Partition, info eventlog.Info) wire.Reader {
	e := &a.sys.ends[p.N]
	if e.at.IsZero() || time.Since(e.at) > endAge {
		e.at = time.Now()
		if e.id, e.err = a.log.ArchiveEnd(ctx, p); e.err != nil {
			a.slog.LogAttrs(ctx, slog.LevelWarn, "the archive does not tell where it ends", slog.Int("partition", p.N), slog.Any("error", e.err))
		}
	}
	r := wire.Reader{Name: "archive", Kind: "archive", At: e.id.String(), BehindMs: behind(e.id, info)}
	if e.err != nil {
		r.Problem = e.err.Error()
	}
	return r
}
