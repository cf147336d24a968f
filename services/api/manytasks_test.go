package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/api/batch"
)

// failed puts tasks into the log that failed.
func (h *house) failed(queue, name string, tasks ...string) {
	h.Helper()
	for _, task := range tasks {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":%q,"queue":%q,"customJobId":%q}`, name, queue, task)))
		if _, err := h.log.Fail(h.Context(), h.start(queue, task), 0, events.ReasonRejected, "no", nil); err != nil {
			h.Fatal(err)
		}
	}
}

// many asks for something about many tasks.
func (h *house) many(deed, body string) (p batch.Page) {
	h.Helper()
	parse(h, h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/"+deed, body)).body, &p)
	return p
}

// states counts the tasks of a queue by state.
func (h *house) states(queue string) map[string]int {
	h.Helper()
	h.viewed()
	n := map[string]int{}
	for _, t := range h.list("queue=" + queue).Tasks {
		n[t.State]++
	}
	return n
}

func TestManyTasksOfAQueueAreRetriedPageByPage(t *testing.T) {
	h := build(t, api.Config{}, 2)
	h.project()
	h.failed("q", "send", "a", "b", "c", "d", "e")
	h.failed("q", "draw", "f")
	h.failed("other", "send", "g")
	h.viewed()
	before := h.length()
	if p := h.many("retry", `{"queue":"q","dryRun":true}`); p.Changed != 6 || p.Next != "" || h.length() != before {
		t.Errorf("a dry run would change %+v and appended %d events", p, h.length()-before)
	}
	if p := h.many("retry", `{"queue":"q","name":"draw"}`); p.Changed != 1 || len(p.Refused) > 0 {
		t.Errorf("those of a name: %+v", p)
	}
	changed := 0
	for cursor, pages := "", 1; ; pages++ {
		p := h.many("retry", fmt.Sprintf(`{"queue":"q","limit":2,"cursor":%q}`, cursor))
		if changed += p.Changed; p.Changed > 2 || pages > 4 {
			t.Fatalf("page %d is %+v", pages, p)
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if got := h.states("q"); changed != 5 || got["waiting"] != 6 {
		t.Errorf("%d were retried, and the tasks are %v", changed, got)
	}
	if got := h.states("other"); got["failed"] != 1 {
		t.Errorf("the tasks of another queue are %v", got)
	}
}

func TestManyTasksOfAStateAreCancelled(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.project()
	for i := range 4 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"n","queue":"q","delayMs":%d}`, 60_000*(i%2))))
	}
	h.viewed()
	if p := h.many("cancel", `{"queue":"q","state":"waiting","reason":"not <wanted>"}`); p.Changed != 2 || p.Refused == nil {
		t.Errorf("cancelled are %+v", p)
	}
	if got := h.states("q"); got["cancelled"] != 2 || got["delayed"] != 2 {
		t.Errorf("the tasks are %v", got)
	}
	for _, task := range h.list("queue=q&state=cancelled").Tasks {
		if d := h.detail(task.TaskID); d.Error != "not <wanted>" {
			t.Errorf("a task was cancelled for %q", d.Error)
		}
	}
	if p := h.many("retry", `{"queue":"q","state":"cancelled"}`); p.Changed != 2 {
		t.Errorf("retried are %+v", p)
	}
}

func TestManyTasksOfAQueueThatNobodyEverUsedAreNotFound(t *testing.T) {
	h := build(t, api.Config{}, 2)
	h.project()
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","queue":"mail"}`))
	for _, call := range []string{"retry", "cancel"} {
		r := h.do(http.MethodPost, "/api/tasks/"+call, `{"queue":"mial","state":"`+map[string]string{"retry": "failed", "cancel": "waiting"}[call]+`"}`)
		isProblem(t, r, http.StatusNotFound)
		if why := r.field(t, "detail"); !strings.Contains(why, "queue mial") {
			t.Errorf("%s says %q", call, why)
		}
	}
	if p := h.many("retry", `{"queue":"mail"}`); p.Changed != 0 {
		t.Errorf("of a queue without failed tasks: %+v", p)
	}
	r := h.do(http.MethodPost, "/api/tasks/cancel", `{"queue":"mail"}`)
	isProblem(t, r, http.StatusUnprocessableEntity)
	if why := r.field(t, "detail"); !strings.HasPrefix(why, "state: is required: one of [delayed") {
		t.Errorf("without a state is said %q", why)
	}
}

func TestAChoiceOfManyThatIsWrongChangesNothing(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for call, field := range map[string]string{
		`retry `:                                "queue",
		`retry {"name":"n"}`:                    "queue",
		`retry {"queue":"q","state":"waiting"}`: "state",
		`retry {"queue":"q","limit":0}`:         "limit",
		`retry {"queue":"q","limit":201}`:       "limit",
		`retry {"queue":"q","dryRun":1}`:        "dryRun",
		`retry {"queue":"q","reason":"x"}`:      "reason",
		`retry {"queue":"q","cursor":"%"}`:      "cursor",
		`cancel {"queue":"q"}`:                  "state",
		`cancel {"queue":"q","state":"failed"}`: "state",
		`cancel {"queue":"q","state":"waiting","reason":"` + strings.Repeat("x", 5000) + `"}`: "reason",
	} {
		deed, body, _ := strings.Cut(call, " ")
		r := h.do(http.MethodPost, "/api/tasks/"+deed, body)
		isProblem(t, r, http.StatusUnprocessableEntity)
		if got := r.field(t, "field"); got != field {
			t.Errorf("%.60s is a fault of %q, want %q", call, got, field)
		}
	}
}
