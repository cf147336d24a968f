package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/asof"
	"github.com/tasklog/tasklog/services/view"
)

// A cluster of three masters does all that one Redis does, for every service as its own user: two of each that shares
// partitions, the search, the past, views of a user's own, what is made again, and copies from there and to there.
func TestEveryServiceWorksAsItsOwnUserOnACluster(t *testing.T) {
	cluster := testredis.StartCluster(t, 3, false)
	for _, u := range usersOf(t) {
		for _, m := range cluster.Masters {
			args := []any{"ACL", "SETUSER", u.name, "on"}
			for rule := range strings.FieldsSeq(u.rules) {
				args = append(args, rule)
			}
			if err := m.Client().Do(t.Context(), append(args, ">"+u.name)...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	url := func(user string) string {
		return strings.Replace(cluster.URL(), "redis://", "redis://"+user+":"+user+"@", 1)
	}
	const partitions, tasks = 6, 60
	log := testredis.Open(t, cluster.URL(), partitions)
	dir := t.TempDir()
	env := func(user string) []string {
		return []string{"TASKLOG_REDIS_URL=" + url(user), "TASKLOG_ADDR=127.0.0.1:0", "TASKLOG_HEALTH_ADDR=127.0.0.1:0"}
	}
	base := "http://" + launch(t, dir, env("api"), "api").says(t, `"the API listens".*"addr":"([^"]+)"`)
	var stops []*process
	for _, args := range [][]string{{"scheduler"}, {"scheduler"}, {"projector"}, {"projector"}, {"worker", "--demo"}} {
		p := launch(t, dir, env(args[0]), args...)
		p.says(t, "health server listens")
		stops = append(stops, p)
	}
	get := func(path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s %s, %v", path, resp.Status, body, err)
		}
		return string(body)
	}
	for i := range tasks {
		post(t, base+"/api/tasks", fmt.Sprintf(`{"taskName":"sleep","customJobId":"t%d","payload":{"ms":1,"who":"customer-%d"},"delayMs":%d}`, i, i, i%5))
	}
	homes := map[int]bool{}
	for i := range tasks {
		id := fmt.Sprint("t", i)
		list := history(t, log, id)
		if last := list[len(list)-1]; last.Data.Type() != events.TypeTaskCompleted {
			t.Errorf("%s ends with %s", id, last.Data.Type())
		}
		homes[log.Of(id).N] = true
	}
	if len(homes) != partitions {
		t.Errorf("the tasks went to %d partitions", len(homes))
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for late := time.After(20 * time.Second); !ok(); {
			select {
			case <-tick.C:
			case <-late:
				t.Fatal(what + ": never")
			}
		}
	}

	until("the views have all tasks", func() bool {
		return strings.Contains(get("/api/queues"), fmt.Sprintf(`"completed":%d`, tasks))
	})
	if found := get("/api/tasks?q=customer-7"); !strings.Contains(found, `"t7"`) || strings.Contains(found, `"t8"`) {
		t.Errorf("the search finds %s", found)
	}
	snapshots := past.New(testredis.Open(t, url("projector"), 0))
	for _, p := range log.Partitions() { // so short a log has no snapshot of itself
		entries, err := log.Range(t.Context(), p, events.ID{}, events.MaxID, 1000)
		if err != nil {
			t.Fatal(err)
		}
		m := past.Moment{View: new(asof.View)}
		for _, e := range entries {
			m.Add(e)
		}
		if _, err := snapshots.Keep(t.Context(), p, m.After, m.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for _, path := range []string{"/api/tasks?at=" + now + "&limit=200", "/api/tasks?limit=200"} {
		if all := get(path); strings.Count(all, `"state":"completed"`) != tasks {
			t.Errorf("%s: %d tasks: %s", path, strings.Count(all, `"state":"completed"`), all)
		}
	}
	for _, path := range []string{"/api/queues?at=" + now, "/api/tasks/t1?at=" + now, "/api/throughput", "/api/workers", "/api/system", "/admin/queues", "/admin/queues/tasks/t1", "/readyz"} {
		get(path)
	}
	ctx, stop := context.WithCancel(t.Context())
	kept := make(chan error, 1)
	own := view.New(testredis.Open(t, url("viewer"), 0), slog.New(slog.DiscardHandler))
	go func() { kept <- view.Keep(ctx, own, new(kinds)) }()
	until("the own view has all tasks", func() bool {
		k := new(kinds)
		_, err := view.Read(t.Context(), own, k)
		return err == nil && *k.Touch("sleep") == tasks
	})
	stop()
	if err := <-kept; err != nil {
		t.Error(err)
	}

	other := testredis.Start(t, "--appendonly", "yes")
	for _, c := range []struct {
		user string
		args []string
	}{
		{"readonly", []string{"queues"}},
		{"readonly", []string{"task", "t1"}},
		{"readonly", []string{"tail", "--follow=false"}},
		{"readonly", []string{"at", "now", "task", "t1"}},
		{"readonly", []string{"diff", "-1h", "now"}},
		{"projector", []string{"replay"}},
		{"rebuilder", []string{"replay", "--state"}},
		{"archiver", []string{"archive", "keep", "--all", "--lag", "1ms"}},
		{"copier", []string{"copy", "--to", other.URL(), "--to-prefix", "single", "--partitions", "2", "--clone"}},
		{"copier", []string{"copy", "--to", url("copier"), "--to-prefix", "tasklog:again", "--partitions", "3", "--clone"}},
		{"readonly", []string{"verify", "--prefix", "tasklog:again"}},
		{"readonly", []string{"verify"}},
	} {
		if out, err := tasklog(t, dir, env(c.user), c.args...); err != nil {
			t.Errorf("%s: %v: %v: %s", c.user, c.args, err, out)
		}
	}
	single := []string{"TASKLOG_REDIS_URL=" + other.URL(), "TASKLOG_PREFIX=single"}
	for _, args := range [][]string{
		{"verify"},
		{"copy", "--to", cluster.URL(), "--to-prefix", "back", "--partitions", "6", "--move"},
		{"verify", "--redis", cluster.URL(), "--prefix", "back"},
	} {
		if out, err := tasklog(t, dir, single, args...); err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	for _, p := range slices.Backward(stops) {
		p.terminate(t)
	}
	for i, m := range cluster.Masters {
		for _, e := range m.Client().ACLLog(t.Context(), 100).Val() {
			t.Errorf("master %d refused %s: %s %s in %s", i, e.Username, e.Reason, e.Object, e.Context)
		}
	}
}
