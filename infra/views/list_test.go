package views_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
)

func TestTasksAreFoundByStateQueueAndName(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 2)
		if page, err := h.store.Tasks(t.Context(), views.Filter{}); err != nil || page.Tasks == nil || len(page.Tasks) != 0 || page.Next != "" {
			t.Errorf("%+v, %v; want no tasks before there are views", page, err)
		}
		queues := []string{"mail", "übung: 1/2", "a:b"}
		for i := range 30 {
			h.request(fmt.Sprintf("t%02d", i), queues[i%3], fmt.Sprintf("n%d", i%2), time.Duration(i%5)*time.Hour)
		}
		for i := range 5 {
			h.cancel(fmt.Sprintf("t%02d", i))
		}
		h.project()
		choose := func(ok func(i int) bool) (want []string) {
			for i := range 30 {
				if ok(i) {
					want = append(want, fmt.Sprintf("t%02d", i))
				}
			}
			return want
		}
		for _, c := range []struct {
			filter views.Filter
			want   []string
		}{
			{views.Filter{}, choose(func(int) bool { return true })},
			{views.Filter{State: events.StateDelayed}, choose(func(i int) bool { return i >= 5 && i%5 != 0 })},
			{views.Filter{State: events.StateWaiting, Queue: "mail"}, choose(func(i int) bool { return i >= 5 && i%5 == 0 && i%3 == 0 })},
			{views.Filter{Queue: "übung: 1/2"}, choose(func(i int) bool { return i%3 == 1 })},
			{views.Filter{Name: "n1"}, choose(func(i int) bool { return i%2 == 1 })},
			{views.Filter{Queue: "a:b", Name: "n0", State: events.StateCancelled}, choose(func(i int) bool { return i == 2 })},
			{views.Filter{Queue: "nobody's"}, nil},
			{views.Filter{Name: "nobody's"}, nil},
			{views.Filter{State: events.StateCompleted}, nil},
		} {
			for _, limit := range []int{0, 1, 7, 200} {
				c.filter.Limit = limit
				got, _ := h.pages(c.filter, nil)
				slices.Sort(got)
				if !slices.Equal(got, c.want) {
					t.Errorf("%+v: %v, want %v", c.filter, got, c.want)
				}
			}
		}
	})
}

func TestTheNewestChangeComesFirst(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 3)
	for i := range 100 {
		h.request(fmt.Sprintf("t%02d", i), fmt.Sprintf("q%d", i%7), "n", 0)
		if i%4 == 3 {
			h.cancel(fmt.Sprintf("t%02d", i-3))
		}
	}
	h.project()
	var last int64 = 1 << 62
	f, n := views.Filter{Limit: 9}, 0
	for {
		page, err := h.store.Tasks(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range page.Tasks {
			n++
			if ms := task.Events[len(task.Events)-1].Ms; ms > last {
				t.Errorf("task %s changed %d ms after the one before it", task.ID, ms-last)
			} else {
				last = ms
			}
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if n != 100 {
		t.Errorf("%d tasks, want 100", n)
	}
}

func TestTasksThatDoNotMoveAreOnExactlyOnePageWhileOthersDo(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 2)
		const n = 120
		for i := range n {
			h.request(fmt.Sprintf("t%03d", i), fmt.Sprintf("q%d", i%3), "n", 0)
		}
		h.project()
		next := 0
		ids, pages := h.pages(views.Filter{Limit: 10}, func() {
			for range 5 { // the even ones move, old and new
				h.cancel(fmt.Sprintf("t%03d", next*2))
				next++
			}
			h.request(fmt.Sprintf("new%d", next), "q1", "n", 0)
			h.project()
		})
		seen := map[string]int{}
		for _, id := range ids {
			seen[id]++
		}
		for i := range n {
			id := fmt.Sprintf("t%03d", i)
			if moved := i%2 == 0 && i/2 < next; seen[id] > 1 || !moved && seen[id] != 1 {
				t.Errorf("task %s, moved %v, is listed %d times", id, moved, seen[id])
			}
		}
		if pages < 8 {
			t.Errorf("%d pages only: nothing moved between them", pages)
		}
	})
}

func TestManyChangesOfOneMillisecondAreAllListed(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 1)
	p := h.log.Partitions()[0]
	const n = 500
	for i := range n {
		h.request(fmt.Sprintf("t%03d", i), "q", "n", 0)
	}
	h.project()
	generation := h.load(p).Index
	key := p.View(fmt.Sprintf("tasks:%d:waiting:q", generation))
	for _, id := range h.log.Conn().View.ZRange(t.Context(), key, 0, -1).Val() {
		if err := h.log.Conn().View.Do(t.Context(), "ZADD", key, 1_764_000_000_000, id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	ids, _ := h.pages(views.Filter{Queue: "q", Limit: 3}, nil)
	slices.Sort(ids)
	if len(ids) != n || len(slices.Compact(ids)) != n {
		t.Errorf("%d tasks, want %d", len(ids), n)
	}
}

func TestAPageLooksAtABoundedNumberOfTasks(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		for i := range 2600 {
			h.request(fmt.Sprintf("t%04d", i), "q", map[bool]string{true: "rare", false: "common"}[i == 0], 0)
		}
		h.project() // in one save, of many more tasks than a projector would put into one
		first, err := h.store.Tasks(t.Context(), views.Filter{Name: "rare"})
		if err != nil || len(first.Tasks) != 0 || first.Next == "" {
			t.Fatalf("%+v, %v; want an empty page and the cursor of the next", first, err)
		}
		ids, pages := h.pages(views.Filter{Name: "rare"}, nil)
		if !slices.Equal(ids, []string{"t0000"}) || pages != 2 {
			t.Errorf("%v on %d pages, want the oldest task on the second", ids, pages)
		}
	})
}

func TestAFilterThatMakesNoSenseNamesItsField(t *testing.T) {
	h := build(t, testredis.Embedded(t), 1)
	for field, filters := range map[string][]views.Filter{
		"cursor": {{Cursor: "!"}, {Cursor: "eA"}, {Cursor: "LTUgYQ"}, {Cursor: strings.Repeat("A", 999)}},
		"state":  {{State: "asleep"}},
		"limit":  {{Limit: -1}, {Limit: 201}},
	} {
		for _, f := range filters {
			_, err := h.store.Tasks(t.Context(), f)
			var at *events.FieldError
			if !errors.As(err, &at) || at.Field != field {
				t.Errorf("%+v: %v, want an error of field %s", f, err, field)
			}
		}
	}
}

func TestCompletedTasksAreListedAmongTheOthers(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 2)
		for i := range 60 {
			h.request(fmt.Sprintf("t%02d", i), fmt.Sprintf("q%d", i%2), "n", 0)
		}
		h.project()
		h.nextMs()
		for _, p := range h.log.Partitions() {
			h.complete(p, "q1")
		}
		h.nextMs()
		for i := range 20 {
			h.request(fmt.Sprintf("new%02d", i), "q1", "n", 0)
		}
		h.project()
		for _, limit := range []int{1, 7, 200} {
			all, _ := h.pages(views.Filter{Limit: limit}, nil)
			done, _ := h.pages(views.Filter{Limit: limit, State: events.StateCompleted}, nil)
			if len(all) != 80 || len(done) != 30 {
				t.Fatalf("%d tasks of which %d completed, want 80 and 30", len(all), len(done))
			}
			among := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return !slices.Contains(done, id) })
			if !slices.Equal(among, done) {
				t.Errorf("completed are %v, and among all %v", done, among)
			}
			// After the new ones and before the old ones.
			if first, last := slices.Index(all, done[0]), slices.Index(all, done[29]); first != 20 || last != 49 {
				t.Errorf("completed tasks begin at %d and end at %d of 80, want 20 and 49", first, last)
			}
			slices.Sort(all)
			if len(slices.Compact(all)) != 80 {
				t.Error("a task is listed twice")
			}
		}
	})
}

func TestManyCompletedInOneMillisecondAreAllListed(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p, rdb := h.log.Partitions()[0], h.log.Conn().View
		const n = 200
		for i := range n {
			h.request(fmt.Sprintf("t%03d", (i*77)%n), "q", "n", 0)
		}
		h.complete(p, "q")
		h.project()
		key := p.View(fmt.Sprintf("tasks:%d:completed:q", h.load(p).Index))
		list := rdb.LRange(t.Context(), key, 0, -1).Val()
		if len(list) != n {
			t.Fatalf("%d completed, want %d", len(list), n)
		}
		for _, ms := range []func(i int) int{
			func(int) int { return 1_764_000_000_000 },
			func(i int) int { return 1_764_000_000_000 + i/40 },
			func(i int) int { return 1_764_000_000_000 + i/3 },
		} {
			for i, s := range list {
				_, id, _ := strings.Cut(s, " ")
				if err := rdb.LSet(t.Context(), key, int64(i), fmt.Sprintf("%d %s", ms(i), id)).Err(); err != nil {
					t.Fatal(err)
				}
			}
			for _, limit := range []int{3, 32, 50, 200} {
				ids, _ := h.pages(views.Filter{Queue: "q", Limit: limit}, nil)
				slices.Sort(ids)
				if len(ids) != n || len(slices.Compact(ids)) != n {
					t.Errorf("%d tasks in pages of %d, want %d", len(ids), limit, n)
				}
			}
		}
	})
}
