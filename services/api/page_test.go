package api_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

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
