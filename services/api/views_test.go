package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/projector"
)

// project keeps the views up with the log until the test ends.
func (h *house) project() {
	h.Helper()
	p, err := projector.New(h.log, projector.Config{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		h.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	h.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			h.Errorf("projector: %v", err)
		}
	})
}

// viewed waits until the views have everything that is in the log.
func (h *house) viewed() {
	h.Helper()
	store := views.New(h.log)
	h.until("the views have everything", func() bool {
		lags, err := store.Lag(h.Context())
		if err != nil {
			h.Fatal(err)
		}
		return !slices.ContainsFunc(lags, func(l views.Lag) bool { return l.Entries > 0 })
	})
}

type list struct {
	Tasks []struct{ TaskID, TaskName, Queue, State string }
	Next  *string
}

func (h *house) list(query string) (l list) {
	h.Helper()
	parse(h, h.must(http.StatusOK, h.get("/api/tasks?"+query)).body, &l)
	return l
}

func TestTasksAreListedByStateQueueAndName(t *testing.T) {
	h := build(t, api.Config{}, 2)
	if l := h.list(""); l.Tasks == nil || len(l.Tasks) != 0 || l.Next != nil {
		t.Errorf("without views the list is %+v, want an empty one", l)
	}
	h.project()
	for i := range 9 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"n%d","queue":"q%d","customJobId":"t%d","delayMs":%d}`, i%2, i%3, i, 60_000*(i%2))))
	}
	h.viewed()
	for query, want := range map[string]string{
		"queue=q1":                     "t1 t4 t7",
		"name=n1":                      "t1 t3 t5 t7",
		"state=waiting":                "t0 t2 t4 t6 t8",
		"state=delayed&queue=q0&name=": "t3",
		"state=&queue=&name=&cursor=":  "t0 t1 t2 t3 t4 t5 t6 t7 t8",
		"state=failed":                 "",
		"queue=" + `%7Bx%7D`:           "",
	} {
		got := map[string]bool{}
		for _, task := range h.list(query).Tasks {
			got[task.TaskID] = true
		}
		if n := len(strings.Fields(want)); len(got) != n {
			t.Errorf("%s lists %v, want %s", query, got, want)
		}
		for id := range strings.FieldsSeq(want) {
			if !got[id] {
				t.Errorf("%s does not list %s", query, id)
			}
		}
	}

	seen := map[string]bool{}
	for cursor, pages := "", 0; ; pages++ {
		l := h.list("limit=2&cursor=" + cursor)
		for _, task := range l.Tasks {
			if seen[task.TaskID] {
				t.Errorf("%s is on two pages", task.TaskID)
			}
			seen[task.TaskID] = true
		}
		if len(l.Tasks) > 2 || pages > 9 {
			t.Fatalf("page %d has %d tasks", pages, len(l.Tasks))
		}
		if l.Next == nil {
			break
		}
		cursor = *l.Next
	}
	if len(seen) != 9 {
		t.Errorf("the pages hold %d tasks, want 9", len(seen))
	}

	for query, field := range map[string]string{
		"limit=0": "limit", "limit=201": "limit", "limit=x": "limit", "state=nonsense": "state", "cursor=%00": "cursor", "quue=q1": "quue",
	} {
		r := h.get("/api/tasks?" + query)
		isProblem(t, r, http.StatusUnprocessableEntity)
		if r.field(t, "field") != field {
			t.Errorf("%s: field %q", query, r.field(t, "field"))
		}
	}
}

func TestARouteThatTakesNothingSaysSo(t *testing.T) {
	h := build(t, api.Config{}, 1)
	r := h.get("/api/workers?queue=q")
	isProblem(t, r, http.StatusUnprocessableEntity)
	if got := r.field(t, "detail"); got != "queue: is unknown: nothing is taken here" {
		t.Errorf("it says %q", got)
	}
}

func TestQueuesAreCountedByEveryState(t *testing.T) {
	h := build(t, api.Config{}, 2)
	h.project()
	for i := range 4 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d"}`, i)))
	}
	h.must(http.StatusAccepted, h.post(`{"taskName":"t","queue":"mail","delayMs":60000}`))
	h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/t0/cancel", ""))
	h.must(http.StatusOK, h.do(http.MethodPost, "/api/queues/mail/pause", ""))
	var got struct {
		Queues []struct {
			Queue  string
			Paused bool
			Counts map[events.State]int
		}
		AsOf string
	}
	h.until("all of it is counted", func() bool {
		parse(t, h.must(http.StatusOK, h.get("/api/queues")).body, &got)
		return len(got.Queues) == 2 && got.Queues[0].Counts["waiting"] == 3 && got.Queues[0].Counts["cancelled"] == 1 &&
			got.Queues[1].Counts["delayed"] == 1 && got.Queues[1].Paused
	})
	q, mail := got.Queues[0], got.Queues[1]
	if q.Queue != "default" || q.Paused || mail.Queue != "mail" || got.AsOf == "" {
		t.Errorf("queues %+v", got)
	}
	for _, s := range events.States {
		if _, ok := q.Counts[s]; !ok {
			t.Errorf("no count of %s", s)
		}
	}
}

const hostile = `<script>document.title='owned'</script>`

func TestPagesShowWhatIsHostileAsText(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.project()
	task, err := json.Marshal(map[string]any{
		"taskName": hostile, "queue": hostile, "customJobId": hostile, "payload": map[string]string{"x": hostile + "\"'`</pre>"},
	})
	if err != nil {
		t.Fatal(err)
	}
	location := h.must(http.StatusAccepted, h.post(string(task))).header.Get("Location")
	a := h.start(hostile, hostile)
	if _, err := h.log.Fail(t.Context(), a, 0, events.ReasonRejected, hostile, nil); err != nil {
		t.Fatal(err)
	}
	h.until("the page shows it", func() bool { return strings.Contains(h.get("/admin/queues").body, "failed</span>") })
	for _, path := range []string{"/admin/queues", strings.Replace(location, "/api/tasks", "/admin/tasks", 1), "/admin/tasks/none"} {
		r := h.get(path)
		if got := r.header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("%s is %s", path, got)
		}
		if strings.Contains(r.body, "<script>") || strings.Contains(r.body, "</pre>\"") || strings.Contains(r.body, " style=") || strings.Contains(r.body, "<style") {
			t.Errorf("%s holds a script or a style: %s", path, r.body)
		}
		if path != "/admin/tasks/none" && !strings.Contains(r.body, "&lt;script&gt;document.title") {
			t.Errorf("%s does not show the name", path)
		}
	}
	if r := h.get("/admin/tasks/none"); r.status != http.StatusNotFound {
		t.Errorf("a page of no task has status %d", r.status)
	}
}

func TestACommandToPasteIsQuoted(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for id, want := range map[string]string{
		"plain-1":     "tasklog task plain-1</pre>",
		"a; rm -rf ~": "tasklog task &#39;a; rm -rf ~&#39;</pre>",
		"it's $(x)":   `tasklog task &#39;it&#39;\&#39;&#39;s $(x)&#39;</pre>`,
		"--help":      "tasklog task -- &#39;--help&#39;</pre>",
	} {
		body, err := json.Marshal(map[string]string{"taskName": "t", "customJobId": id})
		if err != nil {
			t.Fatal(err)
		}
		location := h.must(http.StatusAccepted, h.post(string(body))).header.Get("Location")
		page := h.must(http.StatusOK, h.get(strings.Replace(location, "/api/tasks", "/admin/tasks", 1))).body
		if !strings.Contains(page, want) {
			_, commands, _ := strings.Cut(page, `class="command"`)
			t.Errorf("task %s: want %q, the page has %q", id, want, commands)
		}
	}
}

func TestThePageSaysThatRedisIsAway(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.redis.Kill()
	r := h.must(http.StatusServiceUnavailable, h.get("/admin/queues"))
	if !strings.Contains(r.body, "Redis does not answer</h1>") || r.header.Get("Retry-After") == "" {
		t.Errorf("page %s", r.body)
	}
}
