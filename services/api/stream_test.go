package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/api"
)

// message is one server-sent event.
type message struct{ id, event, data string }

// streamOf opens an event stream. next returns its next message, comments and empty ones included;
// the stream ends with the test, or when end is called.
func (h *house) streamOf(path string, header ...string) (next func() message, end func()) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 2*time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := h.client.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	end = func() {
		cancel()
		_ = resp.Body.Close()
	}
	h.Cleanup(end)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(resp.Body)
		h.Fatalf("status %d, %s: %s", resp.StatusCode, resp.Header.Get("Content-Type"), body)
	}
	lines := bufio.NewReader(resp.Body)
	return func() (m message) {
		h.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return message{event: "end"}
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				m.id = value
			case "event":
				m.event = value
			case "data":
				m.data = value
			case "": // the end of a message; or a comment
				if m != (message{}) {
					return m
				}
			}
		}
	}, end
}

func TestTheStreamTellsWhatIsAppended(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(`{"taskName":"before"}`))
	next, _ := h.streamOf("/api/events")
	r := h.must(http.StatusAccepted, h.post(`{"taskName":"t","customJobId":"a","payload":"<b>\r\nid: 0-0"}`))
	m := next()
	if m.id != r.field(t, "eventId") || m.event != "TaskRequested" {
		t.Errorf("message %+v, want that of event %s", m, r.field(t, "eventId"))
	}
	var data struct {
		EventID, Type, Task, At string
		V                       int
		Data                    events.TaskRequested
	}
	parse(t, m.data, &data)
	if data.EventID != m.id || data.Type != "TaskRequested" || data.Task != "a" || data.V != 1 || data.Data.Name != "t" {
		t.Errorf("data %+v", data)
	}
	h.must(http.StatusOK, h.do(http.MethodPost, "/api/queues/default/pause", ""))
	if m := next(); m.event != "QueuePaused" {
		t.Errorf("then %+v, want QueuePaused", m)
	}
}

func TestAStreamIsResumedWithoutLossOrRepeat(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(strconv.Itoa(partitions), func(t *testing.T) {
			h := build(t, api.Config{}, partitions)
			const n = 450 // several pages
			for i := range n {
				h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d"}`, i)))
			}
			seen := map[string]int{}
			last := "0-0"
			for len(seen) < n { // leave after some, come back with the last id; meanwhile more is appended
				next, end := h.streamOf("/api/events?lastEventId=ignored", "Last-Event-ID", last)
				for range 77 {
					m := next()
					var data struct{ Task string }
					parse(t, m.data, &data)
					seen[data.Task]++
					if last = m.id; len(seen) >= n {
						break
					}
				}
				end()
			}
			next, _ := h.streamOf("/api/events?lastEventId=" + last)
			h.must(http.StatusAccepted, h.post(`{"taskName":"t","customJobId":"live"}`))
			if m := next(); !strings.Contains(m.data, `"live"`) {
				t.Errorf("after all of them comes %+v", m)
			}
			for task, times := range seen {
				if times != 1 {
					t.Errorf("%s was sent %d times", task, times)
				}
			}
		})
	}
}

func TestNothingIsLostBetweenCatchingUpAndLive(t *testing.T) {
	h := build(t, api.Config{}, 2)
	stop := make(chan struct{})
	posted := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				posted <- n
				return
			default:
				if r, err := h.try(http.MethodPost, "/api/tasks", fmt.Sprintf(`{"taskName":"t","customJobId":"t%d"}`, n)); err == nil && r.status == http.StatusAccepted {
					n++
				}
			}
		}
	}()
	seen := map[string]int{}
	next, _ := h.streamOf("/api/events?lastEventId=0-0")
	read := func() {
		var data struct{ Task string }
		parse(t, next().data, &data)
		seen[data.Task]++
	}
	for len(seen) < 500 {
		read()
	}
	close(stop)
	for n := <-posted; len(seen) < n; {
		read()
	}
	for task, times := range seen {
		if times != 1 {
			t.Errorf("%s was sent %d times", task, times)
		}
	}
}

func TestAFilterLetsThroughWhatItNames(t *testing.T) {
	h := build(t, api.Config{}, 2)
	for _, body := range []string{
		`{"taskName":"t","customJobId":"a"}`, `{"taskName":"t","customJobId":"b","queue":"mail"}`, `{"taskName":"t","customJobId":"c","queue":"mail"}`,
	} {
		h.must(http.StatusAccepted, h.post(body))
	}
	for _, id := range []string{"a", "b", "c"} {
		h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/"+id+"/cancel", ""))
	}
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"task=b", []string{"TaskRequested b", "TaskCancelled b"}},
		{"type=TaskCancelled&queue=mail", []string{"TaskCancelled b", "TaskCancelled c"}},
		{"type=TaskCancelled&type=TaskRequested&task=a", []string{"TaskRequested a", "TaskCancelled a"}},
	} {
		next, end := h.streamOf("/api/events?lastEventId=0-0&" + tt.query)
		var got []string
		for range tt.want {
			m := next()
			var data struct{ Task string }
			parse(t, m.data, &data)
			got = append(got, m.event+" "+data.Task)
		}
		end()
		slices.Sort(got)
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.query, got, tt.want)
		}
	}
	for _, query := range []string{"type=Nonsense", "lastEventId=x", "lastEventId=1-0,2-0,3-0", "quue=mail"} {
		isProblem(t, h.get("/api/events?"+query), http.StatusUnprocessableEntity)
	}
}

func TestAnEntryThatIsNoEventStopsNobody(t *testing.T) {
	h := build(t, api.Config{}, 1)
	next, _ := h.streamOf("/api/events")
	key := h.log.Partitions()[0].Events
	bad, err := h.redis.Client().Do(t.Context(), "XADD", key, "*", "type", "Nonsense", "task", "a", "v", "1", "data", "secret").Text()
	if err != nil {
		t.Fatal(err)
	}
	h.must(http.StatusAccepted, h.post(seed))
	if m := next(); m.event != "TaskRequested" {
		t.Errorf("message %+v", m)
	}
	if logged := h.slog.String(); !strings.Contains(logged, bad) || strings.Contains(logged, "secret") {
		t.Errorf("want the id and no content in the log: %s", logged)
	}
	if body := h.get("/metrics").body; !strings.Contains(body, "tasklog_api_undecodable_total 1") {
		t.Error("the entry was not counted once")
	}
}

func TestASilentStreamShowsLifeAndItsPosition(t *testing.T) {
	h := build(t, api.Config{Heartbeat: 20 * time.Millisecond}, 1)
	next, _ := h.streamOf("/api/events?task=other")
	r := h.must(http.StatusAccepted, h.post(`{"taskName":"t","customJobId":"a"}`))
	for m := (message{}); m.id != r.field(t, "eventId"); {
		if m = next(); m.event != "" || m.data != "" {
			t.Fatalf("message %+v, want none that runs a listener", m)
		}
	}
}

func TestManyStreamsShareOneReader(t *testing.T) {
	h := build(t, api.Config{}, 1)
	nexts := make([]func() message, 20)
	for i := range nexts {
		nexts[i], _ = h.streamOf("/api/events")
	}
	reads := func() int { return h.calls("xread") }
	before := reads()
	const n = 10
	for range n {
		h.must(http.StatusAccepted, h.post(`{"taskName":"t"}`))
		for _, next := range nexts {
			if m := next(); m.event != "TaskRequested" {
				t.Fatalf("message %+v", m)
			}
		}
	}
	if got := reads() - before; got > n+5 {
		t.Errorf("%d reads for %d events and %d streams, want one an event", got, n, len(nexts))
	}
}

// calls returns how often Redis ran a command.
func (h *house) calls(command string) int {
	h.Helper()
	return testredis.Calls(h, h.redis.Client())[command]
}

func TestNobodyIsAskedAtIdle(t *testing.T) {
	h := build(t, api.Config{}, 1)
	_, end := h.streamOf("/api/events")
	end()
	h.until("the reader has stopped", func() bool { return strings.Contains(h.get("/metrics").body, "tasklog_api_event_streams 0") })
	// The read that waits ends by itself, and one may be about to begin; then no other one does.
	h.until("nobody reads, and goes on not reading", func() bool {
		before := h.calls("xread")
		idle := time.NewTimer(300 * time.Millisecond)
		<-idle.C
		list, err := h.redis.Client().ClientList(t.Context()).Result()
		return err == nil && h.calls("xread") == before && !strings.Contains(list, "flags=b")
	})
}

func TestAStreamOutlivesTheTimeoutsOfRequests(t *testing.T) {
	h := build(t, api.Config{ReadTimeout: 100 * time.Millisecond, Heartbeat: 400 * time.Millisecond}, 1)
	next, _ := h.streamOf("/api/events?lastEventId=0-0&task=none")
	for i := range 3 {
		h.must(http.StatusAccepted, h.post(`{"taskName":"t"}`))
		if m := next(); m.id == "" {
			t.Fatalf("heartbeat %d is %+v", i, m)
		}
	}
}

func TestABodyThatDoesNotArriveIsGivenUp(t *testing.T) {
	h := build(t, api.Config{ReadTimeout: 100 * time.Millisecond}, 1)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(h.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "408 Request Timeout") || !strings.Contains(string(answer), "application/problem+json") {
		t.Errorf("answer %q, %v", answer, err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	h := build(t, api.Config{MaxStreams: 2}, 1)
	_, end := h.streamOf("/api/events")
	h.streamOf("/api/events")
	r := h.get("/api/events")
	isProblem(t, r, http.StatusServiceUnavailable)
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	end()
	h.until("there is room again", func() bool { return strings.Contains(h.get("/metrics").body, "tasklog_api_event_streams 1") })
	h.streamOf("/api/events")
}

func TestAStreamOutlivesRedis(t *testing.T) {
	h := build(t, api.Config{}, 1)
	next, _ := h.streamOf("/api/events")
	h.redis.Kill()
	isProblem(t, h.get("/readyz"), http.StatusServiceUnavailable)
	h.redis.Restart(t)
	h.until("a task is accepted", func() bool { return h.post(seed).status == http.StatusAccepted })
	if m := next(); m.event != "TaskRequested" {
		t.Errorf("message %+v", m)
	}
}

func TestAClientThatDoesNotReadIsDropped(t *testing.T) {
	h := build(t, api.Config{}, 1)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(h.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	h.until("the stream is open", func() bool { return strings.Contains(h.get("/metrics").body, "tasklog_api_event_streams 1") })
	next, _ := h.streamOf("/api/events?type=TaskRequested") // one that reads is not held up
	payload := strings.Repeat("x", 200<<10)
	for range 80 { // the backlog, and what sockets hold
		h.must(http.StatusAccepted, h.post(`{"taskName":"t","payload":"`+payload+`"}`))
		if m := next(); m.event != "TaskRequested" {
			t.Fatalf("message %+v", m)
		}
	}
	h.until("the slow stream is dropped", func() bool {
		body := h.get("/metrics").body
		return strings.Contains(body, "tasklog_api_event_streams 1") && strings.Contains(body, "tasklog_api_event_streams_dropped_total 1")
	})
}

func TestAStreamEndsAtShutdown(t *testing.T) {
	h := build(t, api.Config{}, 1)
	next, _ := h.streamOf("/api/events")
	if err := h.shutdown(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if m := next(); m.event != "end" {
		t.Errorf("message %+v, want the end", m)
	}
}
