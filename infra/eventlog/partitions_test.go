package eventlog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestALogWhoseNumberOfPartitionsIsLostIsNotSplit(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := newHand(t, open(t, url, 3))
		lose := func() { must(h.rdb.Del(t.Context(), "tasklog:meta").Result())(h) }
		again := func(partitions int) (int, error) {
			log, err := eventlog.Open(t.Context(), h.log.Conn(), eventlog.Config{Partitions: partitions})
			if err != nil {
				return 0, err
			}
			return len(log.Partitions()), nil
		}
		must(h.log.Request(t.Context(), want("a")))(h)
		lose()
		_, err := again(0) // one task lies well with many numbers
		if unfixed, ok := errors.AsType[*eventlog.UnfixedError](err); !ok || !strings.Contains(unfixed.Error(), "set TASKLOG_PARTITIONS") {
			t.Errorf("got %v", err)
		}
		if n, err := again(3); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		for i := range 60 {
			must(h.log.Request(t.Context(), want(fmt.Sprint("task ", i))))(h)
		}
		lose()
		if _, err := again(4); !strings.Contains(fmt.Sprint(err), "do not lie as with 4") {
			t.Errorf("got %v", err)
		}
		if n := must(h.rdb.Exists(t.Context(), "tasklog:meta").Result())(h); n != 0 {
			t.Error("it was written down all the same")
		}
		if n, err := again(0); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}
