package copier_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/crashpoint/crashtest"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
	"github.com/tasklog/tasklog/services/copier"
)

// A program that moves a log.
const program = `package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/copier"
	"github.com/tasklog/tasklog/services/rebuilder"
)

func open(prefix string) *eventlog.Log {
	conn, err := eventlog.Connect(os.Args[1])
	if err == nil {
		var log *eventlog.Log
		if log, err = eventlog.Open(context.Background(), conn, eventlog.Config{Prefix: prefix, Retention: 20 * 365 * 24 * time.Hour}); err == nil {
			return log
		}
	}
	panic(err)
}

func main() {
	source, target := open("from"), open("to")
	_, err := copier.Run(context.Background(), source, target, copier.Config{
		Mode: copier.Move, Source: "the source", Target: "the target",
		State: func(ctx context.Context, p eventlog.Partition, gate string) error {
			_, err := rebuilder.Partition(ctx, target, p, gate, rebuilder.Config{LeaseTTL: time.Minute, Shut: true})
			return err
		},
	})
	fmt.Println(err)
}
`

// dump returns what a log holds, but for how it came to be, and for what it is told by a clock.
func dump(t testing.TB, log *eventlog.Log) map[string]string {
	t.Helper()
	rdb, all := log.Conn().View, map[string]string{}
	for _, p := range log.Partitions() {
		base := strings.TrimSuffix(p.Events, "events")
		for _, key := range rdb.Keys(t.Context(), p.Pattern("")).Val() {
			name := strings.TrimPrefix(key, base)
			of := fmt.Sprintf("%d %s", p.N, name)
			switch {
			case name == "copy", strings.HasPrefix(name, "view:"):
			case name == "leases", strings.HasPrefix(name, "lock:"):
				all[of] = fmt.Sprint(rdb.Exists(t.Context(), key).Val())
			case name == "events", strings.HasPrefix(name, "due:"):
				all[of] = fmt.Sprintf("%q", rdb.Do(t.Context(), "XRANGE", key, "-", "+").Val())
			case strings.HasPrefix(name, "task:"):
				all[of] = fmt.Sprintf("%q %d", rdb.HGetAll(t.Context(), key).Val(), rdb.PExpireTime(t.Context(), key).Val())
			default:
				switch rdb.Type(t.Context(), key).Val() {
				case "zset":
					all[of] = fmt.Sprint(rdb.ZRangeWithScores(t.Context(), key, 0, -1).Val())
				case "set":
					all[of] = fmt.Sprint(slices.Sorted(maps.Keys(rdb.SMembersMap(t.Context(), key).Val())))
				default:
					t.Errorf("the copy has a key %s", key)
				}
			}
		}
	}
	return all
}

// undisturbed returns what a move makes of a log that nobody disturbs.
func undisturbed(t *testing.T, seed uint64, events, from, to int) map[string]string {
	t.Helper()
	url := testredis.Start(t).URL()
	source, target := open(t, url, "from", from), open(t, url, "to", to)
	write(t, source, still(history(seed, events)))
	writeStrange(t, source)
	_, err := copier.Run(t.Context(), source, target, config(copier.Move, target))
	must(t, err)
	return dump(t, target)
}

func TestACopyThatIsKilledIsTheSameInTheEnd(t *testing.T) {
	binary := crashtest.Build(t, "chaos", program)
	want := undisturbed(t, 7, 900, 3, 2)
	points := []string{string(crashpoint.CopyAfterGate) + ":2", string(crashpoint.CopyMid) + ":2", string(crashpoint.RebuildMidWrite) + ":2"}
	for _, p := range crashpoint.CopyPoints {
		points = append(points, string(p))
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			url := testredis.Start(t).URL()
			source, target := open(t, url, "from", 3), open(t, url, "to", 2)
			write(t, source, still(history(7, 900)))
			writeStrange(t, source)
			out, err := crashtest.Run(t, binary, point, url)
			if !crashtest.Killed(err) {
				t.Fatalf("it ended with %v: %s", err, out)
			}
			cfg := config(copier.Move, target)
			_, err = copier.Run(t.Context(), source, target, cfg)
			must(t, err)
			if got := dump(t, target); !maps.Equal(got, want) {
				for key := range want {
					if got[key] != want[key] {
						t.Errorf("%s\n is %.200s\nwas %.200s", key, got[key], want[key])
						break
					}
				}
				t.Errorf("%d keys, want %d", len(got), len(want))
			}
			if !shut(t, source) || shut(t, target) {
				t.Error("the source is open, or the copy shut")
			}
			if held := source.Conn().View.Exists(t.Context(), source.Partitions()[0].Readers).Val(); held != 0 {
				t.Error("the source may not be trimmed")
			}
			proved(t, target)
		})
	}
}

func TestACopyGoesOnWhateverTheNetworkLoses(t *testing.T) {
	defer copier.SetSizes(60, 200)()
	const events = 400
	want := undisturbed(t, 8, events, 2, 3)
	servers := []*testredis.Server{testredis.Start(t), testredis.Start(t)}
	for n, server := range servers {
		proxy := faults.Start(t, server.Addr())
		for _, command := range [][]string{
			{"xrange", "hset", "hdel", "get", "time", "zcard", "xlen", "xinfo", "evalsha"},
			{"get", "hgetall", "xinfo", "exists", "hset", "xrange", "evalsha", "watch", "exec"},
		}[n] {
			for _, kind := range []faults.Kind{faults.DropRequest, faults.DropReply} {
				for _, s := range servers {
					must(t, s.Client().FlushAll(t.Context()).Err())
				}
				urls := []string{servers[0].URL(), servers[1].URL()}
				direct, copied := open(t, urls[0], "from", 2), open(t, urls[1], "to", 3)
				write(t, direct, still(history(8, events)))
				writeStrange(t, direct)
				urls[n] = proxy.URL()
				source, target := open(t, urls[0], "from", 2), open(t, urls[1], "to", 3)
				cfg := config(copier.Move, target)
				cfg.Views = nil
				hits := proxy.Set(faults.Fault{Kind: kind, Times: 2, Only: faults.Named(command)})
				_, err := copier.Run(t.Context(), source, target, cfg)
				if lost := proxy.Set(faults.Fault{}) - hits; lost == 0 {
					t.Errorf("%s, %v, of %d: the fault did not happen", command, kind, n)
				}
				if err != nil {
					t.Errorf("%s, %v, of %d: %v", command, kind, n, err)
					continue
				}
				if got := dump(t, copied); !maps.Equal(got, want) {
					t.Errorf("%s, %v, of %d: the copy is another one", command, kind, n)
				}
			}
		}
	}
}

func TestAMoveThatFailsOpensTheSourceAgain(t *testing.T) {
	url := testredis.Start(t).URL()
	source, target := open(t, url, "from", 2), open(t, url, "to", 2)
	h := history(3, 600)
	write(t, source, h.Events)
	cfg := config(copier.Move, target)
	p := source.Partitions()[1]
	must(t, source.Conn().View.Do(t.Context(), "ZADD", p.Leases, 9e12, "runs").Err())
	_, err := copier.Run(t.Context(), source, target, cfg)
	if running, ok := errors.AsType[*copier.RunningError](err); !ok || running.Attempts != 1 || shut(t, source) || !shut(t, target) {
		t.Errorf("an attempt runs: %v, or the source is shut, or the copy open", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Running = true
	state := cfg.State
	cfg.State = func(context.Context, eventlog.Partition, string) error {
		if !shut(t, source) {
			t.Error("the source is open")
		}
		cancel()
		return ctx.Err()
	}
	_, err = copier.Run(ctx, source, target, cfg)
	if !errors.Is(err, context.Canceled) || shut(t, source) || !shut(t, target) {
		t.Errorf("it was cancelled: %v, or the source is shut, or the copy open", err)
	}
	cfg.State = state
	sum, err := copier.Run(t.Context(), source, target, cfg)
	if err != nil || !shut(t, source) || shut(t, target) || sum.Copied != 0 || sum.Running != 1 {
		t.Errorf("%+v, %v, or the source is open, or the copy shut", sum, err)
	}
	proved(t, target)
}

func TestALogThatWasMovedIsOpenedAgainOnlyByForce(t *testing.T) {
	url := testredis.Start(t).URL()
	source, target, third := open(t, url, "from", 2), open(t, url, "to", 3), open(t, url, "third", 1)
	write(t, source, still(history(4, 600)))
	for _, mode := range []copier.Mode{copier.Follow, copier.Move} {
		_, err := copier.Run(t.Context(), source, target, config(mode, target))
		must(t, err)
		if mode == copier.Follow {
			if _, err := copier.Reopen(t.Context(), target, true); !errors.Is(err, eventlog.ErrRebuilding) || !shut(t, target) {
				t.Errorf("a copy that is not finished: %v, or it was opened", err)
			}
		}
	}
	if sum, err := copier.Run(t.Context(), source, target, config(copier.Move, target)); err != nil || !sum.Opened || sum.Copied != 0 || shut(t, target) {
		t.Errorf("it was moved already: %+v, %v, or it is shut", sum, err)
	}
	cfg := config(copier.Move, third)
	cfg.Target = "a third one"
	if _, err := copier.Run(t.Context(), source, third, cfg); !errors.Is(err, eventlog.ErrRebuilding) {
		t.Errorf("it was moved twice: %v", err)
	}
	_, err := copier.Reopen(t.Context(), source, false)
	if moved, ok := errors.AsType[*copier.MovedError](err); !ok || moved.To != "the target" || !shut(t, source) {
		t.Errorf("got %v, or it is open", err)
	}
	if n, err := copier.Reopen(t.Context(), source, true); n != 2 || err != nil || shut(t, source) {
		t.Errorf("%d, %v, or it is shut", n, err)
	}
	if _, err := copier.Run(t.Context(), source, target, config(copier.Move, target)); !errors.Is(err, copier.ErrFinished) || shut(t, source) {
		t.Errorf("it was opened again: %v, or it is shut", err)
	}
	if n, err := copier.Reopen(t.Context(), source, false); n != 0 || err != nil {
		t.Errorf("it was open: %d, %v", n, err)
	}
}

func TestWhatSomebodyElseDidToACopyIsNamed(t *testing.T) {
	url := testredis.Start(t).URL()
	source := open(t, url, "from", 2)
	write(t, source, history(5, 600).Events)
	for i, test := range []struct {
		what string
		do   func(list []eventlog.Raw) []eventlog.Raw
		at   int
	}{
		{"a field of an entry was changed", func(list []eventlog.Raw) []eventlog.Raw {
			list[100].Fields[7] += " "
			return list
		}, 100},
		{"an entry was exchanged", func(list []eventlog.Raw) []eventlog.Raw {
			list[50].ID.Seq += 1000
			return list
		}, 50},
		{"an entry is lost, and another came", func(list []eventlog.Raw) []eventlog.Raw {
			last := list[len(list)-1]
			last.ID.Ms++
			return append(append(list[:20:20], list[21:]...), last)
		}, 20},
	} {
		target := open(t, url, fmt.Sprint("to", i), 3)
		_, err := copier.Run(t.Context(), source, target, config(copier.Follow, target))
		must(t, err)
		p := target.Partitions()[1]
		list := raw(t, target, p)
		at := list[test.at].ID
		gate, err := target.Gate(t.Context(), p)
		must(t, err)
		must(t, target.Conn().View.Del(t.Context(), p.Events).Err())
		for n, e := range test.do(list) {
			must(t, target.Adopt(t.Context(), p, gate, int64(n), []eventlog.Raw{e}))
		}
		cfg := config(copier.Clone, target)
		cfg.Again = true
		_, err = copier.Run(t.Context(), source, target, cfg)
		differs, ok := errors.AsType[*copier.DiffersError](err)
		if !ok || differs.Partition != 1 || differs.Entry != at && test.at != 50 || !shut(t, target) {
			t.Errorf("%s: %v, want entry %s of partition 1, or it was opened", test.what, err, at)
		}
	}
	target := open(t, url, "to", 3)
	_, err := copier.Run(t.Context(), source, target, config(copier.Follow, target))
	must(t, err)
	must(t, target.Conn().View.Do(t.Context(), "XADD", target.Partitions()[2].Events, "*", "a", "b").Err())
	if _, err = copier.Run(t.Context(), source, target, config(copier.Clone, target)); err == nil || !strings.Contains(err.Error(), "partition 2 of the copy has") || !shut(t, target) {
		t.Errorf("an entry more: %v, or it was opened", err)
	}
}

func TestALogWhoseBeginningIsGoneIsNotCopied(t *testing.T) {
	url := testredis.Start(t).URL()
	source, target := open(t, url, "from", 1), open(t, url, "to", 2)
	write(t, source, history(6, 600).Events)
	p := source.Partitions()[0]
	all := raw(t, source, p)
	must(t, source.Conn().View.XTrimMaxLen(t.Context(), p.Events, 500).Err())
	must(t, source.Conn().View.HSet(t.Context(), p.Trimmed, "id", all[99].ID.String(), "entries", 100).Err())
	_, err := copier.Run(t.Context(), source, target, config(copier.Clone, target))
	if trimmed, ok := errors.AsType[*copier.TrimmedError](err); !ok || trimmed.Entries != 100 || shut(t, source) {
		t.Errorf("got %v, or the source is shut", err)
	}
	source.Attach(shelf(all[:120]))
	sum, err := copier.Run(t.Context(), source, target, config(copier.Clone, target))
	if err != nil || sum.Copied < 600 {
		t.Errorf("%+v, %v", sum, err)
	}
	same(t, source, target)
	proved(t, target)
}
