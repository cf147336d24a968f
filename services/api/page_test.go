package api_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

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
