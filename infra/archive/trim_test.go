package archive_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/crashpoint/crashtest"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// read says that the views, or for another name a reader, have read up to an entry.
func read(t testing.TB, log *eventlog.Log, p eventlog.Partition, who string, id events.ID) {
	t.Helper()
	key, field := p.Readers, who
	if who == "views" {
		key, field = p.View("head"), "checkpoint"
	}
	if err := log.Conn().View.HSet(t.Context(), key, field, id.String()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasTrimmedIsInTheArchiveAndTheRestInTheStream(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := filled(t, url, 1, 230)
		p := log.Partitions()[0]
		all := stream(t, log, p)
		read(t, log, p, "views", all[229].ID)
		a := create(t, t.TempDir())
		write(t, a, log, small)
		for _, keep := range []int64{200, 200, 77, 300, 77, 1} {
			done, err := a.Trim(t.Context(), log, p, archive.Retention{Events: keep})
			if err != nil || done.Held != "" {
				t.Fatalf("%+v, %v", done, err)
			}
			rest := stream(t, log, p)
			upto, n, err := log.Trimmed(t.Context(), p)
			if err != nil || int64(len(rest)) > keep || upto != done.Upto || n != int64(230-len(rest)) {
				t.Errorf("%d are left of %d to keep: %+v, %s, %d, %v", len(rest), keep, done, upto, n, err)
			}
			old, err := a.Raw(t.Context(), 0, events.ID{}, upto, 1000)
			if err != nil || !reflect.DeepEqual(append(old, rest...), all) {
				t.Errorf("%d in the archive and %d in the stream, %v", len(old), len(rest), err)
			}
			if w, err := a.Write(t.Context(), log, p, small); w.Entries != 0 || err != nil {
				t.Errorf("after a trim: %+v, %v", w, err)
			}
		}
		if done, err := a.Trim(t.Context(), log, p, archive.Retention{}); err != nil || done.Entries != 0 {
			t.Errorf("without limits: %+v, %v", done, err)
		}
	})
}

func TestAgeAndBytesLetEntriesGo(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	now := time.Now()
	add(t, log, p, now.Add(-2*time.Hour).UnixMilli(), 60)
	add(t, log, p, now.Add(-10*time.Minute).UnixMilli(), 60)
	all := stream(t, log, p)
	read(t, log, p, "views", all[119].ID)
	a := create(t, t.TempDir())
	write(t, a, log, small)
	if done, err := a.Trim(t.Context(), log, p, archive.Retention{Age: time.Hour, Events: 1000, Bytes: 1 << 30}); err != nil || done.Entries != 60 || done.Upto != all[59].ID {
		t.Errorf("by age: %+v, %v", done, err)
	}
	was := log.Conn().View.MemoryUsage(t.Context(), p.Events).Val()
	done, err := a.Trim(t.Context(), log, p, archive.Retention{Bytes: was / 2})
	if err != nil || done.Entries < 20 || done.Entries > 40 {
		t.Errorf("by bytes: %+v, %v", done, err)
	}
}

func TestTrimStopsAtWhoNeedsTheStreamAndAtTheEndOfTheArchive(t *testing.T) {
	url := testredis.Start(t).URL()
	log := testredis.Open(t, url, 1)
	p := log.Partitions()[0]
	rdb := log.Conn().View
	dice := rand.New(rand.NewPCG(3, 4))
	for range 12 {
		if err := rdb.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		add(t, log, p, noon, 130)
		all := stream(t, log, p)
		a := create(t, "mem://")
		write(t, a, log, small)
		lowest := 128 // the newest stays
		for _, who := range []string{"views", "one", "two"} {
			at := dice.IntN(130)
			lowest = min(lowest, at)
			read(t, log, p, who, all[at].ID)
		}
		done, err := a.Trim(t.Context(), log, p, archive.Retention{Events: 1})
		if err != nil || done.Entries != int64(lowest+1) || done.Upto != all[lowest].ID || (done.Held == "") != (lowest == 128) {
			t.Errorf("the lowest bound is entry %d, %s: %+v, %v", lowest, all[lowest].ID, done, err)
		}
		if rest := stream(t, log, p); !reflect.DeepEqual(rest, all[lowest+1:]) {
			t.Errorf("%d are left", len(rest))
		}
	}
}

func TestNothingIsTrimmedThatIsNotInTheArchive(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	add(t, log, p, time.Now().Add(-time.Minute).UnixMilli(), 130)
	all := stream(t, log, p)
	read(t, log, p, "views", all[129].ID)
	a := create(t, "mem://")
	write(t, a, log, archive.Config{MaxEntries: 100, Lag: time.Millisecond}) // the other 30 are no whole segment
	if done, err := a.Trim(t.Context(), log, p, archive.Retention{Events: 1}); err != nil || done.Entries >= 130 || !reflect.DeepEqual(stream(t, log, p), all[done.Entries:]) {
		t.Errorf("%+v, %v", done, err)
	} else if end, _, _ := a.End(t.Context(), 0); done.Upto != end {
		t.Errorf("the archive ends with %s, and %+v", end, done)
	}
}

func TestNothingIsTrimmedThatIsNotWholeInTheArchive(t *testing.T) {
	log := filled(t, testredis.Start(t).URL(), 1, 150)
	p := log.Partitions()[0]
	all := stream(t, log, p)
	read(t, log, p, "views", all[149].ID)
	dir := t.TempDir()
	write(t, create(t, dir), log, small)
	at := dir + "/tasklog/p0/"
	for _, name := range []string{"00000001.json", named(t, at, "00000001", ".zst"), named(t, at, "00000001", ".parquet")} {
		damaged(t, at+name, []byte("damaged"), func() {
			done, err := create(t, dir).Trim(t.Context(), log, p, archive.Retention{Events: 1})
			if e, ok := errors.AsType[*archive.SegmentError](err); !ok || !strings.HasSuffix(e.Object, name) || done.Entries != 0 {
				t.Errorf("%s: %+v, %v", name, done, err)
			}
		})
	}
	rdb := log.Conn().View
	if err := rdb.XDel(t.Context(), p.Events, all[70].ID.String()).Err(); err != nil {
		t.Fatal(err)
	}
	done, err := create(t, dir).Trim(t.Context(), log, p, archive.Retention{Events: 1})
	if !errors.Is(err, archive.ErrDiverged) || done.Upto != all[49].ID {
		t.Errorf("the stream has another entry 70: %+v, %v", done, err)
	}
}

func TestWithoutAnArchiveTheEventsOfTasksWithARowStay(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := filled(t, url, 1, 240)
		p := log.Partitions()[0]
		rdb := log.Conn().View
		all := stream(t, log, p)
		read(t, log, p, "views", all[239].ID)
		if done, err := archive.Discard(t.Context(), log, p, archive.Retention{Events: 230}); err != nil || done.Held != "" || done.Entries != 10 {
			t.Errorf("%+v, %v", done, err)
		}
		for _, k := range []int{20, 150} {
			for all[k].Field("task") == "" || all[k].Entry().Err != nil {
				k++
			}
			task := all[k].Field("task")
			if err := rdb.HSet(t.Context(), p.Task(task), "state", "waiting").Err(); err != nil {
				t.Fatal(err)
			}
			done, err := archive.Discard(t.Context(), log, p, archive.Retention{Events: 1})
			if err != nil || done.Held != "task "+task+", which has a row" || done.HeldAt != all[k].ID.Prev() {
				t.Errorf("%+v, %v", done, err)
			}
			if rest := stream(t, log, p); rest[0].ID != all[k].ID {
				t.Errorf("entry %s is the first, want %s", rest[0].ID, all[k].ID)
			}
			if err := rdb.Del(t.Context(), p.Task(task)).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := rdb.SAdd(t.Context(), p.Paused, "mail").Err(); err != nil {
			t.Fatal(err)
		}
		done, err := archive.Discard(t.Context(), log, p, archive.Retention{Events: 1})
		if err != nil || done.Held != "queue mail, which is paused" {
			t.Errorf("%+v, %v", done, err)
		}
		if err := rdb.Del(t.Context(), p.Paused).Err(); err != nil {
			t.Fatal(err)
		}
		if done, err = archive.Discard(t.Context(), log, p, archive.Retention{Events: 1}); err != nil || done.Held != "" || done.Upto != all[238].ID {
			t.Errorf("%+v, %v", done, err)
		}
		if rest := stream(t, log, p); !reflect.DeepEqual(rest, all[239:]) {
			t.Errorf("%d entries are left", len(rest))
		}
	})
}

func TestATrimThatIsKilledIsGoneOnWith(t *testing.T) {
	url := testredis.Start(t).URL()
	binary := crashtest.Build(t, "chaos", program)
	for _, point := range []string{string(crashpoint.ArchiveBeforeTrim), string(crashpoint.ArchiveAfterTrim), fmt.Sprint(crashpoint.ArchiveAfterTrim, ":2")} {
		log := testredis.Open(t, url, 1)
		p := log.Partitions()[0]
		if err := log.Conn().View.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		add(t, log, p, noon, 130)
		all := stream(t, log, p)
		read(t, log, p, "views", all[129].ID)
		dir := t.TempDir()
		died(t, binary, point, url, dir, "trim")
		a := create(t, dir)
		whole := func() {
			t.Helper()
			upto, n, err := log.Trimmed(t.Context(), p)
			rest := stream(t, log, p)
			if old, again := a.Raw(t.Context(), 0, events.ID{}, upto, 1000); err != nil || again != nil ||
				n != int64(130-len(rest)) || n > 0 && !reflect.DeepEqual(append(old, rest...), all) {
				t.Errorf("%s: %d in the archive, %d in the stream, %d trimmed", point, len(old), len(rest), n)
			}
		}
		whole()
		if _, err := a.Trim(t.Context(), log, p, archive.Retention{Events: 20}); err != nil {
			t.Error(err)
		}
		whole()
		if rest := stream(t, log, p); len(rest) != 20 {
			t.Errorf("%s: %d are left", point, len(rest))
		}
	}
}

func TestSeveralTrimsAtOnceLoseNothing(t *testing.T) {
	log := filled(t, testredis.Start(t).URL(), 1, 230)
	p := log.Partitions()[0]
	all := stream(t, log, p)
	read(t, log, p, "views", all[229].ID)
	dir := t.TempDir()
	write(t, create(t, dir), log, small)
	errs := make(chan error, 4)
	for range cap(errs) {
		a := create(t, dir)
		go func() {
			_, err := a.Trim(t.Context(), log, p, archive.Retention{Events: 10})
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if _, err := create(t, dir).Trim(t.Context(), log, p, archive.Retention{Events: 10}); err != nil {
		t.Error(err)
	}
	if rest := stream(t, log, p); !reflect.DeepEqual(rest, all[220:]) {
		t.Errorf("%d are left", len(rest))
	}
	if n := log.Conn().View.HGet(t.Context(), p.Trimmed, "entries").Val(); n != "220" {
		t.Errorf("%s were trimmed", n)
	}
}
