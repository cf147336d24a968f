package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/services/api"
)

// update is a message of a live page.
type update struct {
	Now    int64
	Parts  map[string]string
	Reason string
}

// watch opens the stream of a page. next returns its next update that sends a part or tells of trouble.
func (h *house) watch(path string) (next func() update) {
	h.Helper()
	read, _ := h.streamOf(path, "Accept", "text/event-stream")
	return func() (u update) {
		h.Helper()
		for len(u.Parts) == 0 && u.Reason == "" {
			m := read()
			if m.event != "parts" && m.event != "trouble" {
				h.Fatalf("message %+v is none of a live page", m)
			}
			u = update{}
			parse(h, m.data, &u)
		}
		return u
	}
}

func TestALivePageSendsAllItsPartsAndThenThoseThatChanged(t *testing.T) {
	h := build(t, api.Config{}, 2)
	h.project()
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","customJobId":"a"}`))
	h.viewed()

	next := h.watch("/admin/tasks?state=waiting")
	first := next()
	if ids := slices.Sorted(maps.Keys(first.Parts)); !slices.Equal(ids, []string{"live-tabs", "live-tasks"}) || first.Now == 0 {
		t.Fatalf("the first update is of %v at %d", ids, first.Now)
	}
	page := h.must(http.StatusOK, h.get("/admin/tasks?state=waiting")).body
	if !strings.Contains(page, first.Parts["live-tabs"]) {
		t.Errorf("the part is not that of the page: %s", first.Parts["live-tabs"])
	}

	h.must(http.StatusAccepted, h.post(`{"taskName":"n","customJobId":"late","delayMs":60000}`)) // not in this list
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","customJobId":"b"}`))
	second := next()
	for !strings.Contains(second.Parts["live-tasks"], `>b</a>`) { // ages change, too
		second = next()
	}
	if _, sent := second.Parts["live-tabs"]; sent || strings.Contains(second.Parts["live-tasks"], "late") {
		t.Errorf("the second update is %v", second.Parts)
	}
}

func TestALivePageIsUpdatedTwiceASecondWhateverTheRateOfEvents(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.project()
	next := h.watch("/admin/queues")
	next()
	begin, updates := time.Now(), 0
	for last := false; !last; updates++ {
		for range 20 {
			h.must(http.StatusAccepted, h.post(`{"taskName":"n"}`))
		}
		next()
		last = updates == 5
	}
	if took := time.Since(begin); took < 2*time.Second {
		t.Errorf("%d updates took %s, want half a second for each at the least", updates, took)
	}
}

func TestALivePageIsReadOnceForAllWhoWatchIt(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.project()
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","queue":"before"}`))
	h.viewed()
	const viewers, updates = 100, 3
	var all []func() update
	for range viewers {
		all = append(all, h.watch("/admin/queues"))
	}
	for _, next := range all {
		if u := next(); !strings.Contains(u.Parts["live-queues"], "before") {
			t.Fatalf("one who came later is without parts: %v", u.Parts)
		}
	}
	before, begin := h.calls("hgetall"), time.Now()
	for i := range updates {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"n","queue":"later-%d"}`, i)))
		for _, next := range all {
			for u := next(); !strings.Contains(u.Parts["live-queues"], fmt.Sprintf("later-%d", i)); {
				u = next()
			}
		}
	}
	// A look takes two views whole: of queues, and of workers.
	read, most := h.calls("hgetall")-before, 2*(2+int(time.Since(begin)/(500*time.Millisecond)))
	if read < 2*updates || read > most {
		t.Errorf("%d views were read for %d viewers and %d updates, want %d to %d", read, viewers, updates, 2*updates, most)
	}
}

func TestALivePageGoesOnWhenTheOneLeavesWhoWatchedItFirst(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.project()
	first, leave := h.streamOf("/admin/tasks", "Accept", "text/event-stream")
	first()
	next := h.watch("/admin/tasks")
	next()
	leave()
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","customJobId":"a"}`))
	for u := next(); !strings.Contains(u.Parts["live-tasks"], ">a</a>"); {
		u = next()
	}
}

func TestALivePageTellsOfTroubleAndGoesOn(t *testing.T) {
	h := build(t, api.Config{}, 1)
	next := h.watch("/admin/tasks/a")
	if u := next(); u.Reason != "There is no such thing" {
		t.Fatalf("without the task the update is %+v", u)
	}
	h.must(http.StatusAccepted, h.post(`{"taskName":"n","customJobId":"a"}`))
	u := next()
	for u.Reason != "" {
		u = next()
	}
	if !strings.Contains(u.Parts["live-timeline"], "TaskRequested") {
		t.Errorf("with the task the update is %+v", u)
	}
	h.redis.Kill()
	for u = next(); u.Reason != "Redis does not answer"; {
		u = next()
	}
}

func TestLivePagesCountAsEventStreams(t *testing.T) {
	h := build(t, api.Config{MaxStreams: 1}, 1)
	h.watch("/admin/tasks")()
	isProblem(t, h.do(http.MethodGet, "/admin/tasks", "", "Accept", "text/event-stream"), http.StatusServiceUnavailable)
	h.must(http.StatusOK, h.get("/admin/tasks")) // a page is no stream
	h.must(http.StatusOK, h.do(http.MethodHead, "/admin/tasks", "", "Accept", "text/event-stream"))
}

func TestATaskIsWhereItsPageWasBefore(t *testing.T) {
	h := build(t, api.Config{}, 1)
	r := h.must(http.StatusMovedPermanently, h.get("/admin/queues/tasks/order%2F1%3Fx"))
	if got := r.header.Get("Location"); got != "/admin/tasks/order%2F1%3Fx" {
		t.Errorf("it leads to %s", got)
	}
}
