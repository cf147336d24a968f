package whole_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tasklog/tasklog/infra/testredis"
)

func TestAtIdleTheSystemLeavesRedisAlone(t *testing.T) {
	h := build(t)
	for i := range 20 {
		h.post(fmt.Sprintf(`{"taskName":"work","queue":"q%d"}`, i))
	}
	for range 20 {
		h.begun()
	}
	h.settle()
	const window = 10 * time.Second
	before := testredis.Calls(t, h.redis.Client())
	<-time.After(window) // it is the time itself that is measured
	after := testredis.Calls(t, h.redis.Client())

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	total := 0
	delete(after, "info") // by which we ask
	for _, command := range slices.Sorted(maps.Keys(after)) {
		if n := after[command] - before[command]; n > 0 {
			total += n
			_, _ = fmt.Fprintf(w, "%s\t%d\t\n", command, n) // to memory
		}
	}
	_, _ = fmt.Fprintf(w, "all\t%d\t\n", total)
	_ = w.Flush()
	t.Logf("calls in %s, those of scripts included:\n%s", window, &table)
	if rate := float64(total) / window.Seconds(); rate >= 10 {
		t.Errorf("%.1f commands a second at idle, want fewer than 10", rate)
	}
}

// settle waits until three seconds in a row had about as many commands.
func (h *house) settle() {
	h.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var rates []int
	for last := testredis.AllCalls(h, h.redis.Client()); len(rates) < 30; {
		<-tick.C
		now := testredis.AllCalls(h, h.redis.Client())
		rates, last = append(rates, now-last), now
		if n := len(rates); n >= 3 && slices.Max(rates[n-3:])-slices.Min(rates[n-3:]) <= 8 {
			return
		}
	}
	h.Fatalf("commands in each second: %v: that does not settle", rates)
}
