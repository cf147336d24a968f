package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tasklog/tasklog/services/worker/httptarget"
)

// The names of tasks, each handled in its own way.
const (
	quick    = "quick"    // is done in some ms
	slow     = "slow"     // takes up to one and a half leases
	flaky    = "flaky"    // fails once or twice
	doomed   = "doomed"   // fails until somebody retries it
	reject   = "reject"   // fails for good
	busy     = "busy"     // asks to come again later
	sluggish = "sluggish" // takes longer than its timeout, once
	rare     = "rare"     // has no handler at the last worker, until all is healed
)

var names = []string{quick, slow, flaky, doomed, reject, busy, sluggish, rare}

// doomedAttempts is how many attempts a doomed task has.
const doomedAttempts = 2

// handled is a run of a handler.
type handled struct {
	Task    string
	Attempt int
	Began   time.Time
	Ended   time.Time // zero: it did not
	Status  int       // that it answered; 0: its worker was gone by then
}

// sink handles all tasks and remembers every run: it is what the outside world sees of them.
type sink struct {
	http *http.Server
	url  string
	ttl  time.Duration

	mu      sync.Mutex
	runs    []*handled
	waiting []chan string // for the name of the next worker that runs a slow task
}

func startSink(ctx context.Context, ttl time.Duration) (*sink, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{url: "http://" + l.Addr().String(), ttl: ttl}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.http.Serve(l) }() // until close
	return s, nil
}

func (s *sink) close() { _ = s.http.Close() }

// handlers writes the file of HTTP targets of a worker.
func (s *sink) handlers(path, worker string, last bool) error {
	var b strings.Builder
	b.WriteString("allow: [127.0.0.1/32]\ntargets:\n")
	for _, name := range names {
		if name != rare || !last {
			fmt.Fprintf(&b, "  %s:\n    url: %s/%s/%s\n", name, s.url, worker, name)
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}

// ServeHTTP handles a task: its path is /worker/name.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the worker died while it asked
	}
	worker, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	attempt, _ := strconv.Atoi(r.Header.Get(httptarget.HeaderAttempt)) // else 0, which no log knows
	run := &handled{Task: r.Header.Get(httptarget.HeaderTaskID), Attempt: attempt, Began: time.Now()}
	s.begin(run, worker, name)
	takes, status := s.plan(name, run.Task, attempt)
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		status = 0
	}
	s.mu.Lock()
	run.Ended, run.Status = time.Now(), status
	s.mu.Unlock()
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	if status != 0 {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"attempt":%d}`, attempt) // if the worker still listens
	}
}

// begin remembers a run, and lets those know who wait for a slow one.
func (s *sink) begin(run *handled, worker, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = append(s.runs, run)
	if name != slow {
		return
	}
	for _, ch := range s.waiting {
		ch <- worker
	}
	s.waiting = nil
}

// nextSlow returns the worker that begins the next slow task, or "" when ctx ends.
func (s *sink) nextSlow(ctx context.Context) string {
	ch := make(chan string, 1)
	s.mu.Lock()
	s.waiting = append(s.waiting, ch)
	s.mu.Unlock()
	select {
	case worker := <-ch:
		return worker
	case <-ctx.Done():
		return ""
	}
}

// plan is how long a run takes and how it ends: a matter of name, task and attempt alone.
func (s *sink) plan(name, task string, attempt int) (time.Duration, int) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(task)) // it cannot fail
	dice := time.Duration(h.Sum32() % 1000)
	brief := dice * 20 * time.Millisecond / 1000
	switch {
	case name == slow:
		return 300*time.Millisecond + dice*s.ttl*3/2000, http.StatusOK
	case name == flaky && attempt <= 1+int(dice)%2, name == doomed && attempt <= doomedAttempts:
		return brief, http.StatusInternalServerError
	case name == reject:
		return brief, http.StatusUnprocessableEntity
	case name == busy && attempt == 1:
		return brief, http.StatusTooManyRequests
	case name == sluggish && attempt == 1:
		return 1500 * time.Millisecond, http.StatusOK
	}
	return brief, http.StatusOK
}

// record returns every run so far.
func (s *sink) record() []handled {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]handled, len(s.runs))
	for i, run := range s.runs {
		all[i] = *run
	}
	return all
}
