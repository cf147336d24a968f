package dashboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
)

// One Chromium serves all tests: each has a tab of its own.
var chromium struct {
	start sync.Once
	ctx   context.Context //nolint:containedctx // chromedp keeps the browser in it
	stop  func() error
	err   error
}

// tests ends the browser when they are over, before leaks are looked for.
type tests struct{ m *testing.M }

func (t tests) Run() int {
	code := t.m.Run()
	if chromium.stop != nil {
		if err := chromium.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "end the browser:", err)
			return 1
		}
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

func startChromium() {
	var binary string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" {
		chromium.err = errors.New("Chromium is not on the PATH: `make deps` installs it")
		return
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true))
	ctx, release := chromedp.NewExecAllocator(context.Background(), opts...)
	chromium.ctx, _ = chromedp.NewContext(ctx)
	chromium.stop = func() error {
		err := chromedp.Cancel(chromium.ctx)
		release()
		return err
	}
	chromium.err = chromedp.Do(chromium.ctx)
}

// A house is a Redis, every service on it, and a tab of the browser at its dashboard.
type house struct {
	*testing.T
	redis *testredis.Server
	log   *eventlog.Log
	cfg   api.Config
	addr  string
	tab   context.Context //nolint:containedctx // chromedp keeps the tab in it
	stop  func()          // ends the API
}

// build starts a house in which the task "fail" fails, "hang" runs until the house goes, and all others complete.
func build(t *testing.T, cfg api.Config) *house {
	t.Helper()
	t.Parallel()
	h := &house{T: t, redis: testredis.Start(t, "--appendonly", "yes"), cfg: cfg, addr: "127.0.0.1:0"}
	h.log = testredis.Open(t, h.redis.URL(), 2)
	quiet := slog.New(slog.DiscardHandler)
	s, err := scheduler.New(h.log, scheduler.Config{}, quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(h.log, worker.Config{ID: "worker-1", Version: "v1.2.3", Grace: -1}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	w.HandleAny(func(ctx context.Context, task worker.Task[json.RawMessage]) (any, error) {
		switch task.Name {
		case "fail":
			return nil, errors.New("connect ECONNREFUSED 10.0.0.7:587\n    at sendMail (mail.js:42:11)" + added())
		case "hang":
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return map[string]string{"said": "done" + added()}, nil
	})
	p, err := projector.New(h.log, projector.Config{}, quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range []func(context.Context) error{s.Run, w.Run, p.Run} {
		h.run(run)
	}
	h.serve()

	chromium.start.Do(startChromium)
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
	var shut context.CancelFunc
	h.tab, shut = chromedp.NewContext(chromium.ctx)
	t.Cleanup(shut)
	h.looksLike(1280, 900, "light")
	return h
}

// run runs a service until the test ends, or stop is called.
func (h *house) run(service func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.Errorf("a service ended with %v", err)
		}
	})
	h.Cleanup(stop)
	return stop
}

// serve starts the API, where it was before if it was.
func (h *house) serve() {
	h.Helper()
	h.cfg.Addr = h.addr
	a, err := api.New(h.log, h.cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		h.Fatal(err)
	}
	if err := a.Listen(h.Context()); err != nil {
		h.Fatal(err)
	}
	h.addr = a.Addr()
	h.stop = h.run(a.Run)
}

// post asks for a task.
func (h *house) post(task string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodPost, "http://"+h.addr+"/api/tasks", strings.NewReader(task))
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		h.Fatalf("status %d for %s", resp.StatusCode, task)
	}
}

// viewed waits until the views have everything that is in the log.
func (h *house) viewed() {
	h.Helper()
	store := views.New(h.log)
	h.until("the views have everything", func() bool {
		lags, err := store.Lag(h.Context())
		if err != nil {
			return false
		}
		for _, l := range lags {
			if l.Entries > 0 {
				return false
			}
		}
		return true
	})
}

// reaches waits until a task is in a state.
func (h *house) reaches(task string, state events.State) {
	h.Helper()
	h.until(fmt.Sprintf("%s is %s", task, state), func() bool {
		t, err := h.log.Task(h.Context(), task)
		return err == nil && t.State == state
	})
}

// looksLike sets the size of the window and the theme that the system prefers.
func (h *house) looksLike(width, height int64, theme string) {
	h.Helper()
	call(h, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
	call(h, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
	})
}

// call gives the browser a command for the tab.
func call[P, R any](h *house, command cdp.Command[P, R], params P) {
	h.Helper()
	h.do(func(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
		_, err = cdp.Call(ctx, t, command, params)
		return none, err
	})
}

func (h *house) do(steps ...chromedp.Action[chromedp.Void]) {
	h.Helper()
	if err := chromedp.Do(h.tab, steps...); err != nil {
		h.Fatal(err)
	}
}

func (h *house) open(path string) {
	h.Helper()
	h.do(chromedp.Navigate("http://" + h.addr + path))
}

// press presses keys, one after the other. As with a keyboard, a key that the page takes for itself types
// nothing: chromedp.KeyEvent types it all the same.
func (h *house) press(keys string) {
	h.Helper()
	for _, r := range keys {
		k := kb.Keys[r]
		down := input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeKeyDown, Key: k.Key, Code: k.Code, Text: k.Text, UnmodifiedText: k.Unmodified,
			WindowsVirtualKeyCode: k.Windows, NativeVirtualKeyCode: k.Native,
		}
		up := down
		up.Type, up.Text, up.UnmodifiedText = input.DispatchKeyEventTypeKeyUp, "", ""
		call(h, input.DispatchKeyEvent, down)
		call(h, input.DispatchKeyEvent, up)
	}
}

// eval returns the value of an expression in the page.
func eval[V any](h *house, expression string) V {
	h.Helper()
	v, err := chromedp.Run(h.tab, chromedp.Evaluate[V](expression))
	if err != nil {
		h.Fatalf("%s: %v", expression, err)
	}
	return v
}

// sees waits until an expression is true in the page.
func (h *house) sees(what, expression string) {
	h.Helper()
	h.until(what, func() bool {
		v, err := chromedp.Run(h.tab, chromedp.Evaluate[bool](expression))
		return err == nil && v // while a page loads there may be nothing to ask
	})
}

// until waits for a condition that nothing signals.
func (h *house) until(what string, holds func() bool) {
	h.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			h.Fatalf("waited too long until %s; the page says: %.2000s", what, eval[string](h, "document.body.innerText"))
		}
	}
}

// pictures is the folder for pictures of the pages, if some are wanted. These are for people, and show nothing hostile.
var pictures = os.Getenv("TASKLOG_SCREENSHOTS")

// added is what every error and result ends with.
func added() string {
	if pictures != "" {
		return ""
	}
	return hostile
}

// shoot writes a picture of the page.
func (h *house) shoot(name string) {
	h.Helper()
	if pictures == "" {
		return
	}
	h.sees("the page is live", fresh)
	png, err := chromedp.Run(h.tab, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(pictures, name+".png"), png, 0o644)
	}
	if err != nil {
		h.Fatal(err)
	}
}
