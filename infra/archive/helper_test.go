package archive_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when the logs of tests begin: long ago, so that all in them is old enough.
const noon = 1764072000000

// bodies are some of every kind of event.
var bodies = []events.Data{
	events.TaskRequested{Label: events.Label{Queue: "mail", Name: "send"}, Definition: events.Definition{MaxAttempts: 3}, DueAt: noon, DelayMs: 7},
	events.TaskDue{Label: events.Label{Queue: "mail", Name: "send"}, Attempt: 1, DueAt: noon, From: events.StateWaiting},
	events.TaskStarted{Label: events.Label{Queue: "mail", Name: "send"}, Attempt: 1, Worker: "w1", Token: "t", WaitMs: 12},
	events.TaskCompleted{Label: events.Label{Queue: "mail", Name: "send"}, Attempt: 1, Worker: "w1", RunMs: 34},
	events.TaskFailed{Label: events.Label{Queue: "mail", Name: "send"}, Attempt: 2, Worker: "w2", RunMs: 56, Error: "no <b>&\u2028", Reason: events.ReasonError, RetryAt: noon + 5},
	events.TaskReleased{Label: events.Label{Queue: "mail", Name: "send"}, Attempt: 2, Worker: "w2", Reason: events.ReasonShutdown, From: events.StateActive},
	events.TaskCancelled{Label: events.Label{Queue: "mail", Name: "send"}, By: "me", Reason: "why not", From: events.StateWaiting},
	events.QueuePaused{Label: events.Label{Queue: "mail"}, By: "me"},
}

// filled opens a log and appends so many entries to each partition: events, and a few that are none. Their
// ids rise by 0 to 2 ms from noon on.
func filled(t testing.TB, url string, partitions, entries int) *eventlog.Log {
	t.Helper()
	log := testredis.Open(t, url, partitions)
	for _, p := range log.Partitions() {
		add(t, log, p, noon, entries)
	}
	return log
}

func add(t testing.TB, log *eventlog.Log, p eventlog.Partition, ms int64, entries int) {
	t.Helper()
	dice := rand.New(rand.NewPCG(uint64(ms), uint64(p.N)))
	var seq int
	_, err := log.Conn().View.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i := range entries {
			if step := dice.Int64N(3); step > 0 {
				ms, seq = ms+step, 0
			} else {
				seq++
			}
			values := []string{"foreign", "\xff\x00\xfe", "type", "?", "type", "twice"}
			switch n := dice.IntN(40); n {
			case 0:
			case 1:
				values = []string{"type", "TaskTwisted", "task", "ä", "v", "x", "data", "{"}
			case 2:
				values = []string{"note", "of <somebody> & \u2028 else"}
			default:
				typ, version, data, err := events.Encode(bodies[n%len(bodies)])
				if err != nil {
					return err
				}
				values = []string{"type", string(typ), "task", fmt.Sprint("t", i), "v", fmt.Sprint(version), "data", string(data)}
			}
			pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: p.Events, ID: fmt.Sprintf("%d-%d", ms, seq), Values: values})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// small cuts segments that have few entries, and leaves none out.
var small = archive.Config{MaxEntries: 50, All: true, Lag: time.Millisecond}

func create(t testing.TB, at string) *archive.Archive {
	t.Helper()
	a, err := archive.Create(t.Context(), at, "tasklog")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// write archives all partitions.
func write(t testing.TB, a *archive.Archive, log *eventlog.Log, cfg archive.Config) (all archive.Written) {
	t.Helper()
	for _, p := range log.Partitions() {
		w, err := a.Write(t.Context(), log, p, cfg)
		if err != nil {
			t.Fatal(err)
		}
		all.Add(w)
	}
	return all
}

// stream returns what the stream has.
func stream(t testing.TB, log *eventlog.Log, p eventlog.Partition) []eventlog.Raw {
	t.Helper()
	raw, err := log.Raw(t.Context(), p, events.ID{}, events.MaxID, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// files returns the files of a folder by their paths in it.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// named returns the only file whose name begins and ends so.
func named(t testing.TB, dir, begin, end string) string {
	t.Helper()
	var found []string
	for _, name := range slices.Sorted(maps.Keys(files(t, dir))) {
		if base := filepath.Base(name); strings.HasPrefix(base, begin) && strings.HasSuffix(base, end) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		t.Fatalf("files %s…%s: %v", begin, end, found)
	}
	return found[0]
}
