package past

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/asof"
)

const (
	chunk     = 512 << 10 // bytes of a chunk
	maxView   = 8 << 30   // bytes of a view, uncompressed
	listed    = 64        // snapshots that are looked at in one step
	unclaimed = time.Hour // how long chunks live that no snapshot came of
)

//go:embed keep.lua
var keepSource string

var keepScript = redis.NewScript(keepSource)

// ErrForeign reports a snapshot of an entry that the log does not have. Nothing was kept.
var ErrForeign = errors.New("the log does not have the entry of this snapshot")

// Keep keeps an encoded view as the snapshot of the last entry that is in it, and returns how many bytes it takes.
func (s *Store) Keep(ctx context.Context, p eventlog.Partition, after events.ID, view []byte) (int, error) {
	data, err := compress(view)
	if err != nil {
		return 0, fmt.Errorf("keep a snapshot of %s: %w", after, err)
	}
	key, n := p.Snapshot(after), 0
	for part := range slices.Chunk(data, chunk) {
		_, err := s.rdb.TxPipelined(ctx, func(tx redis.Pipeliner) error {
			tx.HSet(ctx, key, strconv.Itoa(n), part)
			tx.PExpire(ctx, key, unclaimed)
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("keep a snapshot of %s: %w", after, err)
		}
		n++
	}
	keys := []string{key, p.Past, p.Readers, p.Events, p.Trimmed}
	said, err := keepScript.Run(ctx, s.rdb, keys, after.String(), after.Ms, asof.Version, n).Text()
	switch {
	case err != nil:
		return 0, fmt.Errorf("keep a snapshot of %s: %w", after, err)
	case said == "foreign":
		return 0, fmt.Errorf("keep a snapshot of %s: %w", after, ErrForeign)
	case said != "ok":
		return 0, fmt.Errorf("keep a snapshot of %s: somebody removed it meanwhile: %s", after, said)
	}
	return len(data), nil
}

// List returns the entries of the snapshots of a partition up to an entry, the newest first, and at most n.
func (s *Store) List(ctx context.Context, p eventlog.Partition, until events.ID, n int) ([]events.ID, error) {
	// Those of one ms are not in the order of ids, and until may lie among them.
	upto := "+inf"
	if until.Ms < math.MaxInt64 {
		upto = strconv.FormatInt(until.Ms, 10)
	}
	members, err := s.rdb.ZRevRangeByScore(ctx, p.Past, &redis.ZRangeBy{Min: "-inf", Max: upto, Count: int64(n) + listed}).Result()
	if err != nil {
		return nil, fmt.Errorf("list the snapshots of partition %d: %w", p.N, err)
	}
	var list []events.ID
	for _, m := range members {
		if id, err := events.ParseID(m); err == nil && id.Compare(until) <= 0 {
			list = append(list, id)
		}
	}
	slices.SortFunc(list, func(a, b events.ID) int { return b.Compare(a) })
	return list[:min(n, len(list))], nil
}

// errUnusable reports a snapshot that cannot be used: the one before it can.
var errUnusable = errors.New("unusable snapshot")

// get reads a snapshot. What is not one of this version is an errUnusable.
func (s *Store) get(ctx context.Context, p eventlog.Partition, after events.ID) (*asof.View, error) {
	key := p.Snapshot(after)
	head, err := s.rdb.HMGet(ctx, key, "version", "chunks").Result()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, unusable(err))
	}
	chunks, _ := head[1].(string)
	n, err := strconv.Atoi(chunks)
	if err != nil || head[0] != asof.Version {
		return nil, fmt.Errorf("read %s: %w: version %v, %v chunks", key, errUnusable, head[0], head[1])
	}
	var data bytes.Buffer
	for i := range n {
		part, err := s.rdb.HGet(ctx, key, strconv.Itoa(i)).Bytes()
		if err != nil {
			return nil, fmt.Errorf("read chunk %d of %s: %w", i, key, unusable(err))
		}
		data.Write(part)
	}
	view, err := expand(data.Bytes())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", key, errUnusable, err)
	}
	v, err := asof.Decode(view)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", key, errUnusable, err)
	}
	return v, nil
}

// unusable makes an answer of Redis that says that there is something else an errUnusable.
func unusable(err error) error {
	if _, said := errors.AsType[redis.Error](err); said && !eventlog.Unavailable(err) {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	return err
}

// Sweep removes the snapshots of a partition that cannot be used: those of another version, those of which a part
// is gone, and those before what was removed from the log, for what came after them is not known. It returns how
// many it removed.
func (s *Store) Sweep(ctx context.Context, p eventlog.Partition) (int, error) {
	trimmed, err := s.lost(ctx, p)
	if err != nil {
		return 0, err
	}
	swept := 0
	for until := events.MaxID; ; {
		list, err := s.List(ctx, p, until, listed)
		if err != nil || len(list) == 0 {
			return swept, err
		}
		until = list[len(list)-1].Prev()
		heads := make([]*redis.SliceCmd, len(list))
		_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i, id := range list {
				heads[i] = pipe.HMGet(ctx, p.Snapshot(id), "version", "chunks")
			}
			return nil
		})
		if err != nil {
			return swept, fmt.Errorf("sweep the snapshots of partition %d: %w", p.N, err)
		}
		for i, id := range list {
			head := heads[i].Val()
			if id.Compare(trimmed) >= 0 && head[0] == asof.Version && head[1] != nil {
				continue
			}
			if err := s.remove(ctx, p, id); err != nil {
				return swept, err
			}
			swept++
		}
	}
}

// lost returns the id up to which entries of a partition are neither in its stream nor in an archive.
func (s *Store) lost(ctx context.Context, p eventlog.Partition) (events.ID, error) {
	mark, n, err := s.log.Trimmed(ctx, p)
	if err != nil || n == 0 {
		return events.ID{}, err
	}
	archived, err := s.log.Archived(ctx, p)
	if err != nil || archived > 0 {
		return events.ID{}, err
	}
	return mark, nil
}

// remove takes a snapshot away: first its name.
func (s *Store) remove(ctx context.Context, p eventlog.Partition, id events.ID) error {
	_, err := s.rdb.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.ZRem(ctx, p.Past, id.String())
		tx.Unlink(ctx, p.Snapshot(id))
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove the snapshot of %s: %w", id, err)
	}
	return nil
}

func compress(data []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(data, nil), w.Close()
}

func expand(data []byte) ([]byte, error) {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxView))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.DecodeAll(data, nil)
}
