package api_test

import (
	"fmt"
	"io"
	"net"
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
