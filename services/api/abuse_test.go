package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/services/api"
)

// A client may send for as long as it likes: it is heard for no longer than the bounds say, and what it
// sends is not kept.
func TestARequestWithoutAnEndIsCutOffAtItsBound(t *testing.T) {
	h := build(t, api.Config{ReadTimeout: 3 * time.Second}, 1)
	head := "POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	piece := strings.Repeat("x", 1000)
	for name, tt := range map[string]struct {
		begin, more string
		want        string // the status, or "" where the connection is closed without a word
	}{
		"headers":         {head, "X-More: " + piece + "\r\n", "431"},
		"one long header": {head + "X-More: ", piece, "431"},
		"chunks":          {head + "Transfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n", "3e8\r\n" + piece + "\r\n", "413"},
		"a slow head":     {head, "", "408"},
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(h.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, tt.begin); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for tt.more != "" && sent < 100<<20 {
			n, err := io.WriteString(conn, tt.more)
			if sent += n; err != nil {
				break // it stopped to listen
			}
		}
		if sent >= 100<<20 {
			t.Errorf("%s: it took %d bytes", name, sent)
		}
		answer, err := io.ReadAll(conn) // a reset may swallow the answer, but ends the connection
		_ = conn.Close()
		if len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 "+tt.want) {
			t.Errorf("%s: answered %.60q, %v; want %s", name, answer, err, tt.want)
		}
	}
	if r := h.get("/api/queues"); r.status != 200 {
		t.Errorf("afterwards it answers %d", r.status)
	}
	if n, err := h.log.Len(t.Context(), h.log.Partitions()[0]); err != nil || n != 0 {
		t.Errorf("%d events were appended, %v", n, err)
	}
}

func TestTenThousandHeadersAreRefused(t *testing.T) {
	h := build(t, api.Config{}, 1)
	var header []string
	for i := range 10_000 {
		header = append(header, fmt.Sprint("X-", i), "v")
	}
	if r := h.do("POST", "/api/tasks", `{"taskName":"t"}`, header...); r.status != 431 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// dial begins a bulk on a connection of its own, whose chunks the test writes.
func (h *house) dial() *net.TCPConn {
	h.Helper()
	conn, err := (&net.Dialer{}).DialContext(h.Context(), "tcp", strings.TrimPrefix(h.base, "http://"))
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "POST /api/tasks/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
	if err != nil {
		h.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// chunk is a part of a body.
func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// read returns the answers of a bulk, up to where the connection ends.
func read(t *testing.T, conn net.Conn) ([]lineAnswer, error) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answersOf(t, string(body)), err
}

// numbered are n lines.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		_, _ = fmt.Fprintf(&b, `{"taskName":"t","customJobId":"t%d"}`+"\n", i)
	}
	return b.String()
}

// loud are n lines that are wrong in many ways: each is answered with 4 KiB.
func loud(n int) string {
	var b strings.Builder
	for i := range 20 {
		_, _ = fmt.Fprintf(&b, `,"x%d":1`, i)
	}
	return strings.Repeat("{"+b.String()[1:]+"}\n", n)
}

// Neither side may wait for the other to listen first.
func TestAClientThatReadsOnlyWhenItHasSentAllIsAnsweredAll(t *testing.T) {
	h := build(t, api.Config{}, 1)
	conn := h.dial()
	if err := conn.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	const n = 1700 // whose answers no socket holds
	if _, err := io.WriteString(conn, chunk(loud(n))+chunk(numbered(1))+"0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	h.until("the last is taken", func() bool { return h.length() == 1 }) // it does not wait for the client
	answers, err := read(t, conn)
	if err != nil || len(answers) != n+1 || answers[n].TaskID != "t0" {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	for i, a := range answers[:n] {
		if a.Line != i+1 || a.Status != http.StatusUnprocessableEntity {
			t.Fatalf("answer %d: %+v", i, a)
		}
	}
}

func TestAClientThatNeverReadsIsCutOffAtItsBound(t *testing.T) {
	h := build(t, api.Config{ReadTimeout: time.Second}, 1)
	conn := h.dial()
	lines, sent := chunk(loud(100)), 0
	for sent < 20<<20 {
		n, err := io.WriteString(conn, lines)
		if sent += n; err != nil {
			break
		}
	}
	if sent >= 20<<20 {
		t.Errorf("it took %d bytes, and was not heard", sent)
	}
	if r := h.get("/healthz"); r.status != 200 {
		t.Errorf("afterwards it answers %d", r.status)
	}
}

func TestALineThatDoesNotEndIsNotWaitedForAndNotKept(t *testing.T) {
	h := build(t, api.Config{ReadTimeout: time.Second, MaxPayload: 1000}, 1)
	for name, tt := range map[string]struct {
		begin, more string
		status      int
	}{
		"silence":     {`{"taskName":"t","customJobId":"half"}`, "", 408},
		"one byte":    {"", " ", 408},
		"blank lines": {"", "\n", 408},
		"all one":     {`{"taskName":"t","payload":"`, strings.Repeat("x", 64<<10), 408},
	} {
		conn := h.dial()
		if _, err := io.WriteString(conn, chunk(numbered(1))+chunk(tt.begin+" ")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if tt.more != "" {
			tick := time.NewTicker(5 * time.Millisecond)
			for _, err := io.WriteString(conn, chunk(tt.more)); err == nil && time.Since(began) < 20*time.Second; _, err = io.WriteString(conn, chunk(tt.more)) {
				<-tick.C
			}
			tick.Stop()
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it was listened to for %s", name, took)
		}
		answers, err := read(t, conn) // a reset may swallow the answers
		if err == nil && (len(answers) != 2 || answers[1].Status != tt.status) {
			t.Errorf("%s: answered %+v", name, answers)
		}
		if err != nil && tt.more == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := h.requested(); !slices.Equal(got, []string{"t0"}) {
		t.Errorf("the log holds %v", got)
	}
}

func TestWhatWasTakenIsTakenWhenTheConnectionEndsInTheMiddle(t *testing.T) {
	h := build(t, api.Config{}, 1)
	conn := h.dial()
	if _, err := io.WriteString(conn, chunk(numbered(500)+`{"taskName":"t","customJobId":"half"}`)); err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseWrite() // what it had sent arrives
	answers, err := read(t, conn)
	if err != nil || len(answers) != 501 || answers[500].Status != 400 || answers[500].Line != 501 {
		t.Errorf("%d answers, %v", len(answers), err)
	}
	if got := h.requested(); len(got) != 500 || slices.Contains(got, "half") {
		t.Errorf("%d were taken", len(got))
	}
	for _, a := range h.bulk(strings.Split(numbered(600), "\n")...) {
		if a.Duplicate != (a.Line <= 500) || a.Status != 0 {
			t.Errorf("sent again: %+v", a)
		}
	}
	if got := h.requested(); len(got) != 600 {
		t.Errorf("%d were taken", len(got))
	}
}

func TestNoMoreBulksThanTheirBoundAreUnderWay(t *testing.T) {
	h := build(t, api.Config{}, 1)
	var open []*talk
	for range 32 {
		open = append(open, h.talk(`{"taskName":"t"}`))
	}
	r := h.do(http.MethodPost, "/api/tasks/bulk", `{"taskName":"t"}`, "Content-Type", ndjson)
	isProblem(t, r, http.StatusServiceUnavailable)
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	open[0].close()
	h.until("there is room", func() bool {
		return h.do(http.MethodPost, "/api/tasks/bulk", `{"taskName":"t"}`, "Content-Type", ndjson).status == http.StatusOK
	})
}
