package views_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
)

func TestTasksOfAllQueuesAreListedByTheLogAndThenByTheIndex(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 2)
		const n = 150
		for i := range n {
			h.request(fmt.Sprintf("t%03d", i), fmt.Sprintf("q%d", i%40), "n", 0)
			h.nextMs()
		}
		h.project()
		for i := range 10 { // the views do not know it yet
			h.cancel(fmt.Sprintf("t%03d", 5*i))
		}
		want := func(cut int) {
			t.Helper()
			for _, limit := range []int{1, 7, 50, 200} {
				ids, _ := h.pages(views.Filter{Limit: limit}, nil)
				if len(ids) != n || ids[10] != "t149" || ids[n-1] != "t001" {
					t.Fatalf("after %d entries were trimmed: %d tasks in pages of %d, want %d: first the ten that moved, then from the newest to the oldest: %v", cut, len(ids), limit, n, ids)
				}
				if slices.Sort(ids); len(slices.Compact(ids)) != n {
					t.Errorf("a task is listed twice in pages of %d", limit)
				}
				cancelled, _ := h.pages(views.Filter{Limit: limit, State: events.StateCancelled}, nil)
				if len(cancelled) != 10 {
					t.Errorf("%d are cancelled, want 10: %v", len(cancelled), cancelled)
				}
			}
		}
		want(0)
		for _, left := range []int64{40, 6} { // what is left holds some of the changes, and fewer than all
			for _, p := range h.log.Partitions() {
				if err := h.log.Conn().View.XTrimMaxLen(t.Context(), p.Events, left).Err(); err != nil {
					t.Fatal(err)
				}
			}
			want(n - int(left))
		}
	})
}

func TestTheLastOfFullPagesLeadsNoFurther(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 1)
	for i := range 10 {
		h.request(fmt.Sprintf("t%d", i), "q", "n", 0)
	}
	h.project()
	ids, pages := h.pages(views.Filter{Limit: 5}, nil)
	if len(ids) != 10 || pages > 3 {
		t.Errorf("%d tasks on %d pages, want 10 on two, and none on a third at the most", len(ids), pages)
	}
}
