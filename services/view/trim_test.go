package view_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/view"
)

// trim removes the log of the first partition up to an id, and returns who does not let it.
func (h *house) trim(last events.ID) string {
	h.Helper()
	p := h.log.Partitions()[0]
	// The views that every log has would hold all of it: nobody keeps them here.
	if err := h.log.Conn().View.HSet(h.Context(), p.View("head"), "checkpoint", events.MaxID.String()).Err(); err != nil {
		h.Fatal(err)
	}
	held, err := h.log.Trim(h.Context(), p, last)
	if err != nil {
		h.Fatal(err)
	}
	if held == nil {
		return ""
	}
	return held.By
}

func TestTheLogIsNotTrimmedBeforeEveryVersionOfAViewHasReadIt(t *testing.T) {
	t.Parallel()
	h := build(t, testredis.Start(t).URL(), 1)
	list := history(9, 3000)
	h.write(list)
	s := h.store()
	block := make(chan struct{})
	// standsAt keeps a version that goes no further than an entry, and returns how far it is stored by then.
	standsAt := func(version int, id events.ID) events.ID {
		t.Helper()
		there := make(chan struct{})
		h.keep(&count{version: version, before: func(e events.Event) {
			if e.ID == id {
				close(there)
				<-block
			}
		}})
		<-there
		stored, err := events.ParseID(h.log.Conn().View.HGet(t.Context(), h.log.Partitions()[0].Readers, "view:count:"+strconv.Itoa(version)).Val())
		if err != nil || stored.IsZero() || stored.Compare(id) >= 0 {
			t.Fatalf("it stands before %s and has stored %s, %v", id, stored, err)
		}
		return stored
	}
	first := standsAt(1, list[2500].ID)
	if by := h.trim(first.Next()); by != "reader view:count:1" {
		t.Errorf("%q holds what the view has not read", by)
	}
	second := standsAt(2, list[1500].ID)
	if second.Compare(first) >= 0 {
		t.Fatalf("the new version is at %s, and the old one at %s", second, first)
	}
	if by := h.trim(second); by != "" {
		t.Errorf("%s holds what both have read", by)
	}
	if by := h.trim(second.Next()); by != "reader view:count:2" {
		t.Errorf("%q holds what the new version has not read", by)
	}
	close(block)
	h.until("the new version is served", func() bool { _, fresh := h.read(s, 2); return fresh.Version == 2 && fresh.Behind == 0 })
	h.until("the old one is gone", func() bool { return !strings.Contains(strings.Join(h.keys(), " "), "count:1") })
	if by := h.trim(list[2998].ID); by != "" {
		t.Errorf("%s holds what it has read", by)
	}
}

func TestANewViewSaysHowManyEntriesWereTrimmedOrReadsThemInTheArchive(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 1)
	list := history(10, 1500)
	h.write(list)
	a, err := archive.Create(t.Context(), t.TempDir(), "tasklog")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := a.Write(t.Context(), h.log, h.log.Partitions()[0], archive.Config{All: true, Lag: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if by := h.trim(list[899].ID); by != "" {
		t.Fatal(by)
	}
	h.keep(&count{version: 1})
	s := h.store()
	h.until("it has read what is there", func() bool { _, fresh := h.read(s, 1); return fresh.Missed == 900 && fresh.Behind == 0 })
	h.reaches(s, 1, fold(list[900:], 1))

	older, err := view.Connect(t.Context(), h.url, view.Config{Older: a})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := older.Close(); err != nil {
			t.Error(err)
		}
	})
	h.keepIn(older, &count{version: 2})
	h.reaches(s, 2, fold(list, 2))
	if _, fresh := h.read(s, 2); fresh.Missed != 0 {
		t.Errorf("%+v, want none missed", fresh)
	}
}
