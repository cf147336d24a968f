package client_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/client"
)

func TestPartitionsMakeNoDifference(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, url string) {
		c, err := client.Connect(t.Context(), url, client.Options{Log: eventlog.Config{Partitions: 3}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		const n = 30
		h := &house{T: t, Client: c}
		var waits []*waiter
		for i := range n {
			id := fmt.Sprint("t", i)
			h.enqueue(client.Task{Name: "n", ID: id, Delay: time.Hour})
			waits = append(waits, h.waits(t.Context(), id))
		}
		for i := range n {
			id := fmt.Sprint("t", i)
			if r := h.enqueue(client.Task{Name: "n", ID: id}); !r.Duplicate {
				t.Errorf("task %s was made twice", id)
			}
			if err := c.Cancel(t.Context(), id, id); err != nil {
				t.Error(err)
			}
		}
		for i, w := range waits {
			if o, err := w.end(t); err != nil || o.Error != fmt.Sprint("t", i) || o.Task.State != events.StateCancelled {
				t.Errorf("got %+v, %v", o, err)
			}
		}
		for _, change := range []func() (bool, error){
			func() (bool, error) { return c.Pause(t.Context(), "q") },
			func() (bool, error) { return c.Resume(t.Context(), "q") },
		} {
			for _, want := range []bool{true, false} {
				if changed, err := change(); changed != want || err != nil {
					t.Errorf("changed %t, %v, want %t", changed, err, want)
				}
			}
		}
	})
}
