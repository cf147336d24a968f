package eventlog_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
)

// Answers of a group share a reply: large definitions must not make it too long to arrive in time.
func TestLargeDefinitionsAreNotInTheAnswersThatOthersShare(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	const n = 40
	payload := `"` + strings.Repeat("x", events.DefaultMaxPayload/2) + `"`
	for i := range n {
		r := want(fmt.Sprint("t", i))
		r.Payload = []byte(payload)
		h.request(r)
	}
	h.due("q")
	if err := server.Client().ConfigResetStat(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	var starting sync.WaitGroup
	for i := range n {
		a := h.take(fmt.Sprint("t", i), "w1")
		starting.Go(func() {
			s, err := h.log.Start(t.Context(), a, hour)
			if err != nil || string(s.Payload) != payload {
				t.Errorf("task %d: %d bytes of payload, %v", i, len(s.Payload), err)
			}
		})
	}
	starting.Wait()
	if apart := testredis.Calls(t, server.Client())["hget"]; apart != n {
		t.Errorf("%d definitions are read apart, want %d", apart, n)
	}
}
