package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Server is what a Redis says of itself. What it does not say is zero.
type Server struct {
	Version   string // of Redis, or the one that a Valkey is compatible with
	Policy    string // maxmemory-policy
	AOF       string // "1" or "0": whether it writes an append-only file
	MaxMemory int64  // bytes; 0: no limit
	Memory    int64  // bytes in use that count against MaxMemory
	RSS       int64  // bytes that the system gave it
	Clients   int64  // that are connected
	Ops       int64  // commands in the last second
	Uptime    int64  // seconds
	Snapshot  string // "ok", or "err" when the last snapshot could not be written
	Append    string // "ok", or "err" when the append-only file could not be written
}

// Servers asks Redis for what a log depends on: the server, or those masters of a cluster that answer. It needs
// INFO and not CONFIG, which managed ones forbid.
func (c *Conn) Servers(ctx context.Context) ([]Server, error) { return c.servers(ctx) }

func (c *Conn) servers(ctx context.Context, section ...string) ([]Server, error) {
	var mu sync.Mutex
	var list []Server
	err := masters(ctx, c.View, func(rdb redis.Cmdable) error {
		text, err := rdb.Info(ctx, section...).Result()
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, parseInfo(text))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask redis how it is: %w", err)
	}
	return list, nil
}

func parseInfo(text string) Server {
	said := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			said[name] = value
		}
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(said[name], 10, 64) // what is not there is 0
		return n
	}
	return Server{
		Version: said["redis_version"], Policy: said["maxmemory_policy"], AOF: said["aof_enabled"],
		MaxMemory: number("maxmemory"), Memory: number("used_memory") - number("mem_not_counted_for_evict"),
		RSS: number("used_memory_rss"), Clients: number("connected_clients"), Ops: number("instantaneous_ops_per_sec"),
		Uptime: number("uptime_in_seconds"), Snapshot: said["rdb_last_bgsave_status"], Append: said["aof_last_write_status"],
	}
}

// least is the oldest version of Redis whose streams and scripts do what the log needs.
const least = 7

// Unfit says why a log must not be kept there, or returns nil: a Redis that is too old does not do what
// the scripts need, and one that evicts forgets tasks when it is full.
func (s Server) Unfit() error {
	var why []error
	major, _, _ := strings.Cut(s.Version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < least {
		why = append(why, fmt.Errorf("it is version %s, and the log needs %d.0 or newer", s.Version, least))
	}
	if s.Policy != "" && s.Policy != "noeviction" {
		why = append(why, fmt.Errorf("its maxmemory-policy is %s, so it forgets tasks when it is full: set it to noeviction", s.Policy))
	}
	return errors.Join(why...)
}

// Doubts says what weakens the promise that no accepted task is lost.
func (s Server) Doubts() []string {
	var list []string
	if s.AOF == "0" {
		list = append(list, "it writes no append-only file: a restart loses what came after its last snapshot; set appendonly to yes")
	}
	if s.Append == "err" {
		list = append(list, "it cannot write its append-only file, and takes no more tasks: look at its disk and its log")
	}
	if s.Snapshot == "err" {
		list = append(list, "its last snapshot could not be written: look at its disk, its memory and its log")
	}
	if s.Version == "" || s.Policy == "" || s.AOF == "" {
		list = append(list, "it does not tell its version, maxmemory-policy and AOF: see yourself that they are 7.0 or newer, noeviction and on")
	}
	return list
}

// Judge asks Redis whether a log may be kept there. unfit says why not (see Server.Unfit), and doubts what weakens its
// promises (see Server.Doubts). A Redis that does not tell, for its user may not use INFO, is an error.
func (c *Conn) Judge(ctx context.Context) (doubts []string, unfit, err error) {
	servers, err := c.Servers(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range servers {
		if unfit == nil {
			unfit = s.Unfit()
		}
		doubts = append(doubts, s.Doubts()...)
	}
	slices.Sort(doubts)
	return slices.Compact(doubts), unfit, nil
}
