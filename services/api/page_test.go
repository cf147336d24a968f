package api_test

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api"
)

func TestLinksToTasksLeadToThem(t *testing.T) {
	h := build(t, api.Config{}, 1)
	const id = "order/1?x#y%2e"
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","customJobId":"`+id+`"}`))
	page := h.must(http.StatusOK, h.get("/admin/queues")).body
	m := regexp.MustCompile(`href="(/admin/tasks/[^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no link to a task in %s", page)
	}
	if task := h.must(http.StatusOK, h.get(html.UnescapeString(m[1]))).body; !strings.Contains(task, html.EscapeString(id)) {
		t.Errorf("%s leads to %s", m[1], task)
	}
}

func TestAQueueWhoseTasksWaitForAWorkerThatIsNotThereSaysSo(t *testing.T) {
	h := build(t, api.Config{}, 2)
	h.project()
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","queue":"mail"}`))
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","queue":"later","delayMs":3600000}`))
	const told = "no worker</span>"
	pages := []string{"/admin/queues", "/admin/queues/mail"}
	says := func(text string, n int) func() bool {
		return func() bool {
			for _, path := range pages {
				if r := h.get(path); r.status != http.StatusOK || strings.Count(r.body, text) != n {
					return false
				}
			}
			return true
		}
	}
	h.until("the queue has no worker, and only that one", says(told, 1))
	announce := func(queues ...string) {
		t.Helper()
		if err := h.log.Announce(t.Context(), eventlog.Presence{Worker: "w", Queues: queues, Concurrency: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if announce("other"); !says(told, 1)() {
		t.Error("a worker of another queue counts as one of this")
	}
	for _, queues := range [][]string{{"other", "mail"}, nil} {
		if announce(queues...); !says(told, 0)() {
			t.Errorf("a worker of the queues %q serves the queue, and the pages do not say so", queues)
		}
	}
	silent := h.redis.Client().HSet(t.Context(), h.log.Partitions()[0].Workers, "w", `{"worker":"w","seenAt":1}`)
	if silent.Err() != nil || !says(told, 1)() {
		t.Errorf("a worker that was silent for years serves the queue; %v", silent.Err())
	}
	if _, err := h.log.Pause(t.Context(), "mail", "test"); err != nil {
		t.Fatal(err)
	}
	h.until("the queue is paused", says(`<span class="state paused">`, 1))
	if !says(told, 0)() {
		t.Error("a paused queue lacks a worker")
	}
}

func TestEntriesThatAreNoEventsDoNotEndThePagesOfEvents(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","customJobId":"the-oldest"}`))
	for range 120 {
		if err := h.redis.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: h.log.Partitions()[0].Events, Values: []string{"no", "event"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	older := regexp.MustCompile(`href="([^"]+)" rel="next"`)
	path := "/admin/events"
	for range 3 {
		page := h.must(http.StatusOK, h.get(path)).body
		if strings.Contains(page, "the-oldest") {
			return
		}
		m := older.FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("%s has no link to older entries: %s", path, page)
		}
		path = html.UnescapeString(m[1])
	}
	t.Error("the first entry is on none of three pages")
}

func TestAPageOfLongEventsAsksRedisForFewOfThem(t *testing.T) {
	h := build(t, api.Config{}, 2)
	const tasks = 100
	long := `{"queue":"q","name":"n","maxAttempts":1,"payload":"` + strings.Repeat("x", 1<<18) + `"}`
	for i := range tasks {
		id := fmt.Sprintf("task-%02d", i)
		if err := h.redis.Client().XAdd(t.Context(), &redis.XAddArgs{
			Stream: h.log.Of(id).Events, Values: []string{"type", "TaskRequested", "task", id, "v", "1", "data", long},
		}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	sent := func() int {
		_, rest, _ := strings.Cut(h.redis.Client().Info(t.Context(), "stats").Val(), "total_net_output_bytes:")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	next, task := regexp.MustCompile(`href="([^"]+)" rel="next"`), regexp.MustCompile(`href="/admin/tasks/(task-\d\d)"`)
	for name, path := range map[string]string{
		"older": "/admin/events", "later": "/admin/events?from=0", "with a filter that nothing fits": "/admin/events?queue=none",
	} {
		var seen []string
		pages := 0
		for ; path != ""; pages++ {
			before := sent()
			page := h.must(http.StatusOK, h.get(path)).body
			if most := sent() - before; most > 13<<20 {
				t.Errorf("%s: page %d took %d bytes", name, pages, most)
			}
			if len(page) > 1<<20 {
				t.Errorf("%s: page %d has %d bytes", name, pages, len(page))
			}
			for _, m := range task.FindAllStringSubmatch(page, -1) {
				if !slices.Contains(seen, m[1]) {
					seen = append(seen, m[1])
				}
			}
			path = ""
			if m := next.FindStringSubmatch(page); m != nil {
				path = html.UnescapeString(m[1])
			}
		}
		want := tasks
		if name == "with a filter that nothing fits" {
			want = 0
		}
		if len(seen) != want {
			t.Errorf("%s: %d pages show %d tasks; want %d", name, pages, len(seen), want)
		}
		if pages > 10 {
			t.Errorf("%s: %d pages for %d entries", name, pages, tasks)
		}
	}
}
