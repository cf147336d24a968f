package relay_test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/relay"
)

func TestARelaySaysWhatItDeliversAndNowAndThenHowMuch(t *testing.T) {
	t.Cleanup(relay.SetTellEvery(20 * time.Millisecond))
	h := build(t, testredis.Start(t).URL(), 1)
	h.answer = func(n int, _ *http.Request) int {
		if n == 2 {
			return http.StatusInternalServerError
		}
		return http.StatusNoContent
	}
	stop := h.start(relay.Config{Group: "audit", Types: []string{"TaskRequested"}})
	told := regexp.MustCompile(`msg="relay has delivered events".* delivered=(\d+) failures=(\d+) poisoned=0 undecodable=0`)
	count := func() (lines, delivered, failures int) {
		for _, m := range told.FindAllStringSubmatch(h.said.String(), -1) {
			d, _ := strconv.Atoi(m[1])
			f, _ := strconv.Atoi(m[2])
			lines, delivered, failures = lines+1, delivered+d, failures+f
		}
		return lines, delivered, failures
	}
	tick, late := time.Tick(5*time.Millisecond), time.After(30*time.Second)
	for i, task := range []string{"a", "b"} {
		h.request(task)
		for _, delivered, _ := count(); delivered <= i; _, delivered, _ = count() { // while it runs
			select {
			case <-tick:
			case <-late:
				t.Fatalf("it does not tell of %s:\n%s", task, h.said)
			}
		}
	}
	stop()
	if lines, delivered, failures := count(); delivered != 2 || failures != 1 {
		t.Errorf("%d lines tell of %d deliveries and %d failures; want 2 and 1\n%s", lines, delivered, failures, h.said)
	}
	if want := `msg="relay delivers events" group=audit partitions=1 types=[TaskRequested]`; strings.Count(h.said.String(), want) != 1 {
		t.Errorf("want once %s\n%s", want, h.said)
	}
}
