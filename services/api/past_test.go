package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api"
)

// newest returns the id of the newest entry of all partitions.
func (h *house) newest() (id events.ID) {
	h.Helper()
	for _, p := range h.log.Partitions() {
		last, err := h.log.Last(context.Background(), p)
		if err != nil {
			h.Fatal(err)
		}
		if last.Compare(id) > 0 {
			id = last
		}
	}
	return id
}

// later waits until the clock of Redis has moved on from the newest entry.
func (h *house) later() events.ID {
	h.Helper()
	then := h.newest()
	h.until("a ms is over", func() bool {
		now, err := h.log.Now(context.Background())
		return err == nil && now.UnixMilli() > then.Ms
	})
	return then
}

func TestThePastIsToldInTheShapesOfThePresent(t *testing.T) {
	h := build(t, api.Config{}, 2)
	h.project()
	for i := range 6 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"n%d","customJobId":"t%d","priority":%d}`, i%2, i, i)))
	}
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","queue":"mail","customJobId":"m","delayMs":3600000}`))
	end := h.later()
	h.viewed()
	queues := h.must(http.StatusOK, h.get("/api/queues")).body
	tasks := h.must(http.StatusOK, h.get("/api/tasks?limit=200")).body
	m := h.must(http.StatusOK, h.get("/api/tasks/m")).body

	h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/m/cancel", ""))
	h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/t3/cancel", ""))
	h.must(http.StatusOK, h.do(http.MethodPost, "/api/queues/mail/pause", ""))
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","queue":"later"}`))

	for _, at := range []string{end.String(), fmt.Sprint(end.Ms)} {
		said := fmt.Sprintf(`"at":%q,"asOf":%q`, at, end)
		if at != end.String() {
			said = fmt.Sprintf(`"at":%q,"asOf":%q`, end.Time().Format("2006-01-02T15:04:05.000Z"), end)
		}
		got := h.must(http.StatusOK, h.get("/api/queues?at="+at)).body
		before, _, _ := strings.Cut(queues, `"asOf"`)
		if want := before + said + ",\"missed\":0}\n"; got != want {
			t.Errorf("queues at %s: %s, want %s", at, got, want)
		}
		got = h.must(http.StatusOK, h.get("/api/tasks?limit=200&at="+at)).body
		if want := strings.TrimSuffix(tasks, "}\n") + "," + said + "}\n"; got != want {
			t.Errorf("tasks at %s: %s, want %s", at, got, want)
		}
	}
	got := h.must(http.StatusOK, h.get("/api/tasks/m?at="+end.String())).body
	if want := strings.TrimSuffix(m, "}\n") + fmt.Sprintf(`,"at":%q,"asOf":%q}`, end, end) + "\n"; got != want {
		t.Errorf("task at %s: %s, want %s", end, got, want)
	}
	if got := h.must(http.StatusOK, h.get("/api/queues?at=0-0")).body; !strings.HasPrefix(got, `{"queues":[],"at":"0-0","missed":0}`) {
		t.Errorf("before the log there is %s", got)
	}
	isProblem(t, h.get("/api/tasks/m?at=-1h"), http.StatusNotFound)
	isProblem(t, h.get("/api/tasks/nobody?at=now"), http.StatusNotFound)
	if got := h.must(http.StatusOK, h.get("/api/tasks/m?at=now")).body; !strings.Contains(got, `"state":"cancelled"`) {
		t.Errorf("now it is %s", got)
	}
}

func TestPagesOfThePastDoNotMoveWhileTasksDo(t *testing.T) {
	h := build(t, api.Config{}, 2)
	for i := range 9 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d"}`, i)))
	}
	h.later()
	var seen []string
	cursor := ""
	for page := range 5 {
		l := h.list("at=-1ms&limit=2&cursor=" + cursor) // -1ms is another instant each time
		for _, task := range l.Tasks {
			if task.State != "waiting" {
				t.Errorf("%s is %s", task.TaskID, task.State)
			}
			seen = append(seen, task.TaskID)
		}
		if page < 4 {
			cursor = *l.Next
		} else if l.Next != nil {
			t.Errorf("after the last page there is %s", *l.Next)
		}
		h.must(http.StatusOK, h.do(http.MethodPost, fmt.Sprintf("/api/tasks/t%d/cancel", 8-page), ""))
		h.must(http.StatusAccepted, h.post(`{"taskName":"more"}`))
	}
	slices.Sort(seen)
	if want := "t0 t1 t2 t3 t4 t5 t6 t7 t8"; strings.Join(seen, " ") != want {
		t.Errorf("the pages hold %v, want %s", seen, want)
	}
	isProblem(t, h.get("/api/tasks?cursor="+cursor), http.StatusUnprocessableEntity)
	for query, want := range map[string]string{"state=cancelled": "5", "name=more": "5", "queue=none": "0", "state=waiting&name=t": "4"} {
		h.later()
		if got := fmt.Sprint(len(h.list("at=now&" + query).Tasks)); got != want {
			t.Errorf("%s: %s tasks, want %s", query, got, want)
		}
	}
}

func TestAnInstantThatCannotBeToldIsRefused(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for range 3 {
		h.must(http.StatusAccepted, h.post(`{"taskName":"t"}`))
	}
	for _, path := range []string{"/api/queues?", "/api/tasks?", "/api/tasks/t?"} {
		for at, why := range map[string]string{"yesterday": "want a time", "2999-01-01T00:00:00Z": "clock says", "-5": "no duration", "%00": "instant"} {
			r := h.get(path + "at=" + at)
			isProblem(t, r, http.StatusBadRequest)
			if r.field(t, "field") != "at" || !strings.Contains(r.body, why) {
				t.Errorf("%s at %s: %s", path, at, r.body)
			}
		}
	}
	for query, field := range map[string]string{"limit=201": "limit", "state=odd": "state", "cursor=x": "cursor", "q=word": "at"} {
		r := h.get("/api/tasks?at=now&" + query)
		isProblem(t, r, http.StatusUnprocessableEntity)
		if r.field(t, "field") != field {
			t.Errorf("%s: %s", query, r.body)
		}
	}
	p := h.log.Partitions()[0]
	first, err := h.log.Range(t.Context(), p, events.ID{}, events.MaxID, 1)
	if err == nil {
		err = h.log.Conn().View.XTrimMaxLen(t.Context(), p.Events, 1).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	end := h.later()
	r := h.get("/api/queues?at=" + first[0].ID.String())
	isProblem(t, r, http.StatusGone)
	if !strings.Contains(r.body, end.String()) {
		t.Errorf("it does not say from when on: %s", r.body)
	}
	if got := h.must(http.StatusOK, h.get("/api/queues?at=now")).body; !strings.Contains(got, `"missed":2`) {
		t.Errorf("%s", got)
	}
}
