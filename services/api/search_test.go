package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api"
)

// found is what a search answers.
type found struct {
	list
	Search *struct {
		Since, AsOf  *time.Time
		Tasks, Bytes int
		Building     bool
		BehindMs     int64
		TextBytes    int
	}
}

// search searches until the answer says that all has been looked through.
func (h *house) search(query string) (f found) {
	h.Helper()
	h.until("all has been looked through", func() bool {
		f = found{}
		parse(h, h.must(http.StatusOK, h.get("/api/tasks?"+query)).body, &f)
		return f.Search == nil || !f.Search.Building && f.Search.BehindMs == 0
	})
	return f
}

// ids are those of what was found, in order.
func (l list) ids() string {
	ids := make([]string, len(l.Tasks))
	for i, t := range l.Tasks {
		ids[i] = t.TaskID
	}
	return strings.Join(ids, " ")
}

func TestTasksAreFoundByWordsOfTheirIdNameErrorAndPayload(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions, " partitions"), func(t *testing.T) {
			h := build(t, api.Config{}, partitions)
			ask := func(task, name, queue, payload string) {
				t.Helper()
				h.nextMs()
				h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":%q,"queue":%q,"customJobId":%q,"payload":%s}`, name, queue, task, payload)))
			}
			if f := h.search("q=x"); f.Search == nil || f.Search.Tasks != 0 || len(f.Tasks) != 0 {
				t.Errorf("of an empty log: %+v", f)
			}
			ask("order-1", "charge", "pay", `{"user": "Anna", "amount": 12}`)
			ask("order-2", "charge", "pay", `{"user":"J\u00fcrgen","note":"<script>alert(1)</script>"}`)
			ask("mail-3", "sendEmail", "mail", `{"user":"anna"}`)
			h.nextMs()
			a := h.start("pay", "order-1")
			if _, err := h.log.Fail(t.Context(), a, time.Millisecond, events.ReasonError, "Card DECLINED\n at bank.go:7", nil); err != nil {
				t.Fatal(err)
			}
			for query, want := range map[string]string{
				"q=anna":                     "order-1 mail-3",
				"q=ANNA&state=failed":        "order-1",
				"q=anna&queue=mail":          "mail-3",
				"q=anna&name=charge":         "order-1",
				"q=declined+anna":            "order-1",
				"q=declined+mail":            "",
				"q=bank.go:7":                "order-1",
				"q=j%C3%BCrgen":              "order-2",
				"q=%3Cscript%3E":             "order-2",
				"q=%22amount%22:12":          "order-1",
				"q=ORDER":                    "order-1 order-2",
				"q=email":                    "mail-3",
				"from=-1h":                   "order-1 order-2 mail-3",
				"to=-1h":                     "",
				"from=-1h&to=now&queue=mail": "mail-3",
				"from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z": "",
			} {
				f := h.search(query)
				got, wanted := strings.Fields(f.ids()), strings.Fields(want)
				slices.Sort(got)
				slices.Sort(wanted)
				if !slices.Equal(got, wanted) {
					t.Errorf("%s finds %q, want %q", query, got, wanted)
				}
				if s := f.Search; s == nil || s.Tasks != 3 || s.Bytes < 300 || s.Since == nil || s.AsOf == nil || s.TextBytes != 2048 {
					t.Errorf("%s looked through %+v, want all", query, s)
				}
			}
			if f := h.search("q=a"); !strings.HasPrefix(f.ids(), "order-") { // its start, or the failure
				t.Errorf("the newest change is not first: %s", f.ids())
			}
		})
	}
}

// nextMs waits for the next ms of Redis' clock.
func (h *house) nextMs() {
	h.Helper()
	first, err := h.log.Now(h.Context())
	for now := first; err == nil && now.UnixMilli() == first.UnixMilli(); {
		now, err = h.log.Now(h.Context())
	}
	if err != nil {
		h.Fatal(err)
	}
}

func TestPagesOfASearchStayRightWhileTasksMove(t *testing.T) {
	h := build(t, api.Config{}, 3)
	const n = 40
	for i := range n {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d","payload":"wanted"}`, i)))
	}
	seen := map[string]int{}
	moved := map[string]bool{}
	for cursor, page := "", 0; ; page++ {
		f := h.search("q=wanted&limit=7&cursor=" + cursor)
		for _, task := range f.Tasks {
			seen[task.TaskID]++
		}
		if len(f.Tasks) > 7 || page > n {
			t.Fatalf("page %d has %d tasks", page, len(f.Tasks))
		}
		if f.Next == nil {
			break
		}
		cursor = *f.Next
		id := fmt.Sprintf("t%d", page*5)
		h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/"+id+"/cancel", ""))
		h.must(http.StatusAccepted, h.post(`{"taskName":"t","payload":"wanted, too"}`))
		moved[id] = true
	}
	for i := range n {
		id := fmt.Sprintf("t%d", i)
		if got := seen[id]; got > 1 || got == 0 && !moved[id] {
			t.Errorf("%s is on %d pages; it moved: %v", id, got, moved[id])
		}
	}
	if f := h.search("q=wanted&state=cancelled"); len(f.Tasks) != len(moved) {
		t.Errorf("%d cancelled tasks are found, want %d", len(f.Tasks), len(moved))
	}
}

func TestASearchKnowsWhatHasJustHappened(t *testing.T) {
	h := build(t, api.Config{}, 2)
	for i := range 30 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"just%d"}`, i)))
		if f := h.search(fmt.Sprintf("q=just%d", i)); f.ids() != fmt.Sprintf("just%d", i) {
			t.Fatalf("the task that was just asked for: %+v", f)
		}
	}
}

func TestASearchThatNobodyUsesCostsNothing(t *testing.T) {
	h := build(t, api.Config{SearchIdle: 2 * time.Second}, 1)
	for i := range 5 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d"}`, i)))
	}
	holds := func(n int) bool {
		return strings.Contains(h.get("/metrics").body, fmt.Sprintf("\ntasklog_api_search_tasks %d\n", n))
	}
	if h.search(""); !holds(0) || h.calls("xrevrange") != 1 || h.calls("xread") != 0 {
		t.Error("tasks are held though nobody searched, or more of the log was read than its end, for a list")
	}
	if f := h.search("q=t"); len(f.Tasks) != 5 || !holds(5) {
		t.Errorf("%d tasks are found, want 5, and all held", len(f.Tasks))
	}
	h.until("the index is dropped", func() bool { return holds(0) })
	reads := h.calls("xread")
	h.must(http.StatusAccepted, h.post(`{"taskName":"t","customJobId":"later"}`))
	if n := h.calls("xread"); n != reads {
		t.Errorf("the log is read %d times though nobody searches", n-reads)
	}
	if f := h.search("q=t"); len(f.Tasks) != 6 {
		t.Errorf("a search after the pause finds %d tasks, want 6", len(f.Tasks))
	}
}

func TestASearchKeepsToItsMemory(t *testing.T) {
	const limit = 100_000
	h := build(t, api.Config{SearchBytes: limit}, 2)
	for i := range 400 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d","payload":"%0400d"}`, i, i)))
	}
	f := h.search("q=t&limit=200")
	if s := f.Search; s.Bytes > limit+2000 || s.Tasks < 50 || s.Tasks > 200 || s.Since == nil {
		t.Errorf("it holds %+v", *s)
	}
	if f.Tasks[0].TaskID != "t399" {
		t.Errorf("the newest is %s", f.Tasks[0].TaskID)
	}
	h.must(http.StatusAccepted, h.post(`{"taskName":"t","customJobId":"one more"}`))
	if f = h.search("q=one+more"); f.ids() != "one more" || f.Search.Bytes > limit+2000 {
		t.Errorf("then it finds %s and holds %+v", f.ids(), *f.Search)
	}
}

func TestASearchGoesOnWhenRedisIsBack(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(`{"taskName":"t","customJobId":"before"}`))
	if f := h.search("q=before"); len(f.Tasks) != 1 {
		t.Fatalf("%+v", f)
	}
	if err := h.redis.Client().Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal").Err(); err != nil {
		t.Log(err) // it may be our own connection that ended
	}
	h.until("a task is taken", func() bool {
		return h.post(`{"taskName":"t","customJobId":"after"}`).status == http.StatusAccepted
	})
	h.until("it is found", func() bool {
		r := h.get("/api/tasks?q=after")
		return r.status == http.StatusOK && strings.Contains(r.body, `"taskId":"after"`)
	})
}

func TestASearchThatMakesNoSenseSaysWhy(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.project()
	for i := range 3 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d"}`, i)))
	}
	h.until("all are listed", func() bool { return len(h.list("").Tasks) == 3 })
	of := *h.list("limit=1").Next // a cursor of the list is none of the search
	for query, field := range map[string]string{
		"q=" + strings.Repeat("x", 501): "q", "from=yesterday": "from", "to=-x": "to", "q=a&limit=0": "limit", "q=a&limit=201": "limit",
		"q=a&state=nonsense": "state", "q=a&cursor=x": "cursor", "q=a&cursor=" + of: "cursor", "q=a&cursor=" + url.QueryEscape("ZZZZ"): "cursor",
		"quest=a": "quest",
	} {
		r := h.get("/api/tasks?" + query)
		isProblem(t, r, http.StatusUnprocessableEntity)
		if r.field(t, "field") != field {
			t.Errorf("%.40s: field %q, want %q", query, r.field(t, "field"), field)
		}
	}
	if next := h.search("q=t&limit=1").Next; next == nil || h.get("/api/tasks?cursor="+*next).status != http.StatusUnprocessableEntity {
		t.Error("a cursor of the search is one of the list")
	}
}
