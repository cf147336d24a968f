package dashboard_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/api/tokens"
)

const (
	hostile = `<script>document.title='owned'</script><img src=x onerror="document.title='owned'">`
	fresh   = `document.getElementById("freshness").className === "fresh"`
)

// holds is an expression that is true when some element holds a text.
func holds(selector, want string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.textContent.includes(%q))`, selector, want)
}

// counts is an expression that is true when the overview counts so many tasks in a state.
func counts(state events.State, n int) string {
	return fmt.Sprintf(`document.querySelector('#live-totals a[href$="=%s"] strong').textContent === "%d"`, state, n)
}

// workload asks for tasks that end in every way, and waits until the views have all of it.
func (h *house) workload() {
	h.Helper()
	for i, q := range []string{"mail", "invoices", "reports.nightly", "search-index", "thumbnails", "webhooks"} {
		for n := range 2 + 3*i%7 {
			h.post(fmt.Sprintf(`{"taskName":"work","queue":%q,"customJobId":"%s-%d","payload":{"user":%d}}`, q, q, n, n))
		}
		h.post(fmt.Sprintf(`{"taskName":"work","queue":%q,"customJobId":"%[1]s-later","delayMs":3600000}`, q))
	}
	h.post(`{"taskName":"fail","queue":"mail","customJobId":"welcome/4711","maxAttempts":3,"backoff":{"type":"fixed","delayMs":20}}`)
	h.post(`{"taskName":"fail","queue":"webhooks","customJobId":"again","backoff":{"type":"fixed","delayMs":3600000}}`)
	h.post(`{"taskName":"hang","queue":"reports.nightly","customJobId":"nightly"}`)
	if pictures == "" {
		id, err := json.Marshal(hostile)
		if err != nil {
			h.Fatal(err)
		}
		h.post(fmt.Sprintf(`{"taskName":%s,"queue":%[1]s,"customJobId":%[1]s,"payload":%[1]s}`, id))
		h.reaches(hostile, events.StateCompleted)
	}
	h.reaches("welcome/4711", events.StateFailed)
	h.reaches("again", events.StateRetrying)
	h.reaches("nightly", events.StateActive)
	if _, err := h.log.Pause(h.Context(), "invoices", "test"); err != nil {
		h.Fatal(err)
	}
	h.viewed()
}

// history puts an hour of traffic into the log, as it would be there: nothing of it is left to do.
func (h *house) history() {
	h.Helper()
	now, err := h.log.Now(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	_, err = h.log.Conn().View.Pipelined(h.Context(), func(pipe redis.Pipeliner) error {
		for minute := range int64(60) {
			for i, q := range []string{"mail", "invoices", "search-index", "thumbnails", "webhooks"} {
				for n := range 3 + (minute*int64(i+2)/7)%11 {
					id, label := fmt.Sprintf("%s-%d-%d", q, minute, n), events.Label{Queue: q, Name: "work"}
					wait := 5 + minute*n%90 + int64(i)*3
					add := func(data events.Data) {
						typ, version, body, err := events.Encode(data)
						if err != nil {
							h.Fatal(err)
						}
						pipe.XAdd(h.Context(), &redis.XAddArgs{
							Stream: h.log.Of(id).Events, ID: fmt.Sprintf("%d-*", now.UnixMilli()-(60-minute)*60_000+int64(i)*1000),
							Values: []any{events.FieldType, string(typ), events.FieldTask, id, events.FieldVersion, version, events.FieldData, body},
						})
					}
					add(events.TaskRequested{Label: label, Definition: events.Definition{MaxAttempts: 1}})
					add(events.TaskDue{Label: label, Attempt: 1, From: events.StateWaiting})
					add(events.TaskStarted{Label: label, Attempt: 1, Worker: "worker-1", WaitMs: wait})
					if i == 4 && n == 2 {
						add(events.TaskFailed{Label: label, Attempt: 1, Worker: "worker-1", RunMs: 3 * wait, Reason: events.ReasonError, Error: "502 Bad Gateway"})
					} else {
						add(events.TaskCompleted{Label: label, Attempt: 1, Worker: "worker-1", RunMs: 7 * wait})
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		h.Fatal(err)
	}
}

// everyPage is the pages of a house that has its workload, by name.
var everyPage = []struct{ name, path string }{
	{"overview", "/admin/queues"},
	{"queue", "/admin/queues/mail"},
	{"tasks", "/admin/tasks"},
	{"task", "/admin/tasks/welcome%2F4711"},
	{"events", "/admin/events"},
	{"workers", "/admin/workers"},
	{"past", "/admin/past?at=-15m"},
	{"present", "/admin/past"},
	{"notice", "/admin/tasks/none"},
}

func TestCountsChangeWithoutALoad(t *testing.T) {
	h := build(t, api.Config{})
	h.open("/admin/queues")
	eval[bool](h, `window.same = true`)
	h.post(`{"taskName":"work","queue":"mail"}`)
	h.sees("the queue appears", holds("#live-queues th", "mail"))
	h.sees("the task is counted as completed", counts(events.StateCompleted, 1))
	h.post(`{"taskName":"fail","queue":"mail","maxAttempts":1}`)
	h.sees("the failure is counted", counts(events.StateFailed, 1))
	h.sees("the page calls itself live", fresh)
	if !eval[bool](h, `window.same === true`) {
		t.Error("the page was loaded again")
	}
}

func TestAFailedTaskIsFoundWithTheKeyboardAlone(t *testing.T) {
	h := build(t, api.Config{})
	h.workload()
	h.open("/admin/queues")
	h.sees("the page is live", fresh)
	h.press("/")
	h.press("mail")
	h.sees("the queues are filtered as one types", `document.querySelectorAll("#live-queues tbody tr").length === 1`)
	h.press(kb.Escape)
	h.press("j")
	h.press(kb.Enter)
	h.sees("the page of the queue is there", `location.pathname === "/admin/queues/mail" && `+fresh)
	h.sees("it tells the names that fail first", `document.querySelector("#live-names tbody tr").textContent.match(/fail\s+1\s+0\s+1\s+2\s+100\.0 %/) !== null`)
	h.press("gt")
	h.sees("the page of tasks is there", `location.pathname === "/admin/tasks" && `+fresh)
	h.press("/")
	h.press("econnrefused welcome")
	h.sees("what its error says finds it", `location.search === "?q=econnrefused+welcome" && `+holds("#live-tasks a", "welcome/4711")+` && !`+holds("#live-tasks a", "nightly"))
	h.press(kb.Escape)
	h.press("jjjk") // the first row has the newest change
	for !eval[bool](h, `document.activeElement.textContent === "welcome/4711"`) {
		h.press("k")
	}
	h.press(kb.Enter)
	h.sees("the error is there", `document.title === "Task welcome/4711 · Tasklog" && `+holds("#live-task pre.error", "connect ECONNREFUSED")+" && "+fresh)
	h.sees("so is what to do", holds("pre.command", "tasklog retry welcome/4711"))
	h.press("ge")
	h.sees("the page of events is there", `location.pathname === "/admin/events"`)
	h.sees("its script runs", fresh)
	h.press("gw")
	h.sees("the page of workers is there", `location.pathname === "/admin/workers"`)
	h.sees("its script runs", fresh)
	h.press("gp")
	h.sees("the page of the past is there", `location.pathname === "/admin/past" && `+fresh)
	h.press("?")
	h.sees("the keys are told", `document.getElementById("keys").open && `+holds("#keys dd", "past"))
	h.press("?")
	h.sees("and put away", `!document.getElementById("keys").open`)
	h.press("go")
	h.sees("the overview is there", `location.pathname === "/admin/queues"`)
}

func TestWhatAPersonOpenedStaysOpenWhileThePageChanges(t *testing.T) {
	h := build(t, api.Config{})
	h.post(`{"taskName":"hang","customJobId":"a"}`)
	h.reaches("a", events.StateActive)
	h.open("/admin/tasks/a")
	h.sees("the page is live", fresh)
	eval[bool](h, `(document.querySelector("#live-timeline summary").focus(), document.querySelector("#live-timeline details").open = true)`)
	if _, err := h.log.Cancel(t.Context(), "a", "test", "enough"); err != nil {
		t.Fatal(err)
	}
	h.sees("the cancellation appears", holds("#live-timeline li", "enough"))
	if !eval[bool](h, `document.querySelector("#live-timeline details").open && document.activeElement === document.querySelector("#live-timeline summary")`) {
		t.Error("what was open is closed, or what had the focus lost it")
	}
}

func TestEventsCanBeHeldStill(t *testing.T) {
	h := build(t, api.Config{})
	h.open("/admin/events")
	h.sees("the page is live", fresh)
	eval[bool](h, `(document.getElementById("pause").click(), true)`)
	h.post(`{"taskName":"work","customJobId":"a"}`)
	h.reaches("a", events.StateCompleted)
	h.viewed()
	if eval[bool](h, holds("#live-events th", "a")+` || !`+holds("#freshness", "paused")) {
		t.Error("the page went on, or does not say that it is held")
	}
	eval[bool](h, `(document.getElementById("pause").click(), true)`)
	h.sees("what came meanwhile is there", holds("#live-events td", "TaskCompleted"))
}

func TestThePageSaysThatTheStreamIsLostAndRegainsIt(t *testing.T) {
	h := build(t, api.Config{})
	h.open("/admin/queues")
	h.sees("the page is live", fresh)
	eval[bool](h, `window.same = true`)
	h.stop()
	h.sees("the loss is told", `document.getElementById("freshness").textContent.includes("the server does not answer")`)
	h.serve()
	h.post(`{"taskName":"work"}`)
	h.sees("the page is live again", fresh)
	h.sees("and tells what came", counts(events.StateCompleted, 1))
	if !eval[bool](h, `window.same === true`) {
		t.Error("the page was loaded again")
	}
}

func TestThePageSaysThatRedisIsGoneAndGoesOnWhenItIsBack(t *testing.T) {
	h := build(t, api.Config{})
	h.post(`{"taskName":"work"}`)
	h.open("/admin/queues")
	h.sees("the task is counted", counts(events.StateCompleted, 1)+" && "+fresh)
	eval[bool](h, `window.same = true`)
	h.redis.Kill()
	h.sees("the loss is told", `document.getElementById("freshness").className === "stale" && `+holds("#freshness", "Redis does not answer"))
	if !eval[bool](h, counts(events.StateCompleted, 1)) {
		t.Error("what was known before is gone")
	}
	h.redis.Restart(t)
	h.sees("the page is live again", fresh)
	h.post(`{"taskName":"work"}`)
	h.sees("and tells what came", counts(events.StateCompleted, 2))
	if !eval[bool](h, `window.same === true`) {
		t.Error("the page was loaded again")
	}
}

func TestTheSliderGoesBackThroughTheLog(t *testing.T) {
	h := build(t, api.Config{})
	h.history()
	h.viewed()
	h.open("/admin/past")
	h.sees("the page is live", fresh)
	h.sees("all has happened", holds("#live-queues th", "webhooks")+" && "+holds("#live-when", "This is now"))
	eval[bool](h, `(s => { s.value = s.min; s.dispatchEvent(new Event("input", { bubbles: true })); return true; })(document.querySelector("input[type=range]"))`)
	h.sees("at its left end there is the first queue alone", `document.querySelectorAll("#live-queues tbody tr").length === 1 && `+holds("#live-queues th", "mail"))
	if !eval[bool](h, holds("#live-when", "This is the past")+` && location.search.startsWith("?at=")`) {
		t.Error("the page does not say that this is the past, or its address does not")
	}
}

// Chromium answers the challenge with the name and the password of the address, as it does with those
// that somebody types, and from then on gives them along, also where the script asks.
func TestThePageUpdatesItselfWithTheTokenThatTheBrowserWasGiven(t *testing.T) {
	secret, token, err := tokens.New("reader", []tokens.Scope{tokens.Read})
	file := filepath.Join(t.TempDir(), "tokens.yml")
	if err == nil {
		err = tokens.Append(file, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	h := build(t, api.Config{Tokens: file})
	h.do(chromedp.Navigate("http://me:" + secret + "@" + h.addr + "/admin/events"))
	h.open("/admin/events") // without them in the address: nobody types them there
	h.sees("the page is live", fresh)
	if _, err := h.log.Pause(t.Context(), "mail", "test"); err != nil {
		t.Fatal(err)
	}
	h.sees("the event appears", holds("#live-events td", "QueuePaused"))
	h.sees("commands name the token", holds("pre.command", "$TASKLOG_TOKEN"))
}

func TestANoticeBecomesThePageWhenItCan(t *testing.T) {
	h := build(t, api.Config{})
	h.open("/admin/tasks/a")
	h.sees("there is no such task", holds("h1", "There is no such thing"))
	h.sees("it is nothing that could be old", `document.getElementById("freshness").className === "quiet" && document.getElementById("freshness").textContent === ""`)
	h.post(`{"taskName":"work","customJobId":"a"}`)
	h.sees("there is", `document.title === "Task a · Tasklog"`)
}

func TestPagesFitEveryWidthInBothThemes(t *testing.T) {
	h := build(t, api.Config{})
	h.history()
	h.workload()
	for _, page := range everyPage {
		h.open(page.path)
		h.sees("the script ran", `document.documentElement.classList.contains("scripted")`)
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int64{360, 1280, 2560} {
				h.looksLike(width, 900, theme)
				if over := eval[int](h, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
					t.Errorf("%s at %d in %s overflows by %d", page.name, width, theme, over)
				}
				switch {
				case width == 1280 && page.name != "notice" && page.name != "present":
					h.shoot(page.name + "-" + theme)
				case width == 360 && page.name == "overview" && theme == "dark":
					h.shoot(page.name + "-narrow")
				}
			}
			for _, low := range eval[[]string](h, contrasts) {
				t.Errorf("%s in %s: %s", page.name, theme, low)
			}
		}
		h.looksLike(1280, 900, "light")
	}
}

func TestNothingHostileIsMarkup(t *testing.T) {
	h := build(t, api.Config{})
	h.workload()
	for _, path := range []string{
		"/admin/queues", "/admin/queues?queue=%3Cscript", "/admin/tasks", "/admin/tasks?queue=%3Cscript%3Edocument.title%3D%27owned%27%3C%2Fscript%3E",
		"/admin/events", "/admin/events?task=%3Cimg%20src%3Dx%3E", "/admin/tasks/welcome%2F4711",
		"/admin/tasks/" + escaped, "/admin/queues/" + escaped,
	} {
		h.open(path)
		h.sees(path+" is live", fresh)
		if n := eval[int](h, `document.querySelectorAll("main img, main script, main style, main [style], main [onerror]").length`); n != 0 {
			t.Errorf("%s: %d elements came out of text", path, n)
		}
		if eval[bool](h, `document.title === "owned"`) {
			t.Errorf("%s: a script ran", path)
		}
	}
	h.sees("a person sees the name as it is", holds("h1", hostile))
}

func TestPagesWorkWithoutJavaScript(t *testing.T) {
	h := build(t, api.Config{})
	h.workload()
	call(h, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	follow := func(selector string) {
		t.Helper()
		h.open(eval[string](h, fmt.Sprintf(`(a => a.pathname + a.search)(document.querySelector(%q))`, selector)))
	}
	h.open("/admin/queues")
	h.sees("the queues are there", holds("#live-queues th", "mail"))
	follow(`#live-totals a[href$="=failed"]`)
	h.sees("the failed task is listed", `document.querySelectorAll("#live-tasks tbody tr").length === 1`)
	follow(`#live-tasks tbody a`)
	h.sees("its error is told", holds("#live-task pre.error", "connect ECONNREFUSED"))
	h.open("/admin/queues?queue=MAIL&sort=completed")
	h.sees("a form filters", `document.querySelectorAll("#live-queues tbody tr").length === 1`)
	if eval[bool](h, `document.documentElement.classList.contains("scripted")`) {
		t.Error("a script ran")
	}
}
