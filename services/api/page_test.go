package api_test

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/api/tokens"
)

// browser is Chromium without a window, at one page.
type browser struct {
	*house
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in it
}

// browse starts a browser, which ends with the test.
func (h *house) browse() *browser {
	h.Helper()
	var binary string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" {
		h.Fatal("Chromium is not on the PATH: `make deps` installs it")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.WindowSize(1280, 1000), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, _ = chromedp.NewContext(ctx)
	h.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			h.Errorf("end the browser: %v", err)
		}
		stop()
	})
	return &browser{house: h, ctx: ctx}
}

func (b *browser) open(path string) {
	b.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(b.base+path)); err != nil {
		b.Fatalf("open %s: %v", path, err)
	}
}

// eval returns the value of an expression in the page.
func eval[V any](b *browser, expression string) V {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[V](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// sees waits until an expression is true in the page. Chromium polls it for us in no way that the
// page's Content-Security-Policy allows.
func (b *browser) sees(what, expression string) {
	b.Helper()
	b.until(what, func() bool { return eval[bool](b, expression) })
}

// shoot writes a picture of the page where TASKLOG_SCREENSHOTS names a folder.
func (b *browser) shoot(name string) {
	b.Helper()
	folder := os.Getenv("TASKLOG_SCREENSHOTS")
	if folder == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name), png, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}

const (
	hostileImage = `<img src=x onerror="document.title='owned'">`
	isFresh      = `document.getElementById("freshness").className === "fresh"`
)

func TestThePageUpdatesItselfAndRunsNothingHostile(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.project()
	body, err := json.Marshal(map[string]string{
		"taskName": hostile, "queue": hostileImage, "customJobId": hostile, "payload": hostile,
	})
	if err != nil {
		t.Fatal(err)
	}
	location := h.must(http.StatusAccepted, h.post(string(body))).header.Get("Location")
	h.until("the page shows the task", func() bool { return strings.Contains(h.get("/admin/queues").body, "&lt;img") })

	b := h.browse()
	b.open("/admin/queues")
	eval[bool](b, `window.same = true`)
	h.must(http.StatusAccepted, h.post(`{"taskName":"greet","customJobId":"new-task","queue":"mail"}`))
	b.sees("the new task appears", `[...document.querySelectorAll("main a")].some(a => a.textContent === "new-task")`)
	b.sees("its queue appears", `document.querySelector("main table").textContent.includes("mail")`)
	b.sees("the page calls itself fresh", isFresh)
	if title := eval[string](b, `document.title`); title != "Queues · Tasklog" || !eval[bool](b, `window.same === true`) {
		t.Errorf("title %q: hostile text ran, or the page was loaded again", title)
	}
	if n := eval[int](b, `document.querySelectorAll("main img, main script").length`); n != 0 {
		t.Errorf("%d elements came out of text", n)
	}
	b.shoot("queues.png")

	h.redis.Kill()
	b.sees("the page says that it is not updated", `document.getElementById("freshness").textContent.includes("not updating since") &&
		document.getElementById("freshness").textContent.includes("Redis does not answer")`)
	if !eval[bool](b, `document.getElementById("main").textContent.includes("new-task")`) {
		t.Error("what the page showed is gone")
	}
	h.redis.Restart(t)
	b.sees("the page updates itself again", isFresh)

	h.until("the task is accepted again: Redis kept nothing", func() bool { return h.post(string(body)).status == http.StatusAccepted })
	b.open(strings.Replace(location, "/api/tasks", "/admin/tasks", 1))
	b.sees("the page of the task is there", `document.querySelectorAll(".timeline > li").length === 1`)
	a := h.start(hostileImage, hostile)
	b.sees("the history grows", `document.querySelectorAll(".timeline > li").length === 3`)
	result, err := json.Marshal(hostileImage)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.log.Complete(t.Context(), a, 0, result); err != nil {
		t.Fatal(err)
	}
	b.sees("the result appears", `document.getElementById("main").textContent.includes("TaskCompleted")`)
	if title := eval[string](b, `document.title`); title != "Task "+hostile+" · Tasklog" {
		t.Errorf("title %q", title)
	}
	b.shoot("task.png")
}

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

// Chromium answers the challenge with the name and the password of the address, as it does with those
// that somebody types, and from then on gives them along, also to what the page fetches by itself.
func TestThePageUpdatesItselfWithTheTokenThatTheBrowserWasGiven(t *testing.T) {
	file, secrets := keys(t)
	h := build(t, api.Config{Tokens: file}, 1)
	h.project()
	b := h.browse()
	plain := b.base
	b.base = strings.Replace(plain, "http://", "http://me:"+secrets[tokens.Read]+"@", 1)
	b.open("/admin/queues")
	b.base = plain
	b.open("/admin/queues") // without them in the address: nobody types them there
	h.must(http.StatusAccepted, h.do(http.MethodPost, "/api/tasks", `{"taskName":"greet","customJobId":"new-task"}`, bearer(secrets[tokens.Submit])...))
	b.sees("the new task appears", `[...document.querySelectorAll("main a")].some(a => a.textContent === "new-task")`)
	b.sees("the page calls itself fresh", isFresh)
}
