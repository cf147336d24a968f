package archive_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestTheArchiveHasEveryEntryAsTheStreamHadIt(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := filled(t, url, 2, 130)
		for _, at := range []string{t.TempDir() + "/new/archive", "file://" + t.TempDir(), "mem://"} {
			a := create(t, at)
			w := write(t, a, log, small)
			if w.Entries != 2*130 || w.Segments != 2*3 {
				t.Errorf("%s: %+v", at, w)
			}
			for _, p := range log.Partitions() {
				same(t, a, log, p)
			}
			if again := write(t, a, log, small); again != (archive.Written{}) {
				t.Errorf("%s: written again: %+v", at, again)
			}
		}
	})
}

// same holds what the archive has of a partition against the stream, in pages of every kind.
func same(t *testing.T, a *archive.Archive, log *eventlog.Log, p eventlog.Partition) {
	t.Helper()
	want := stream(t, log, p)
	end, count, err := a.End(t.Context(), p.N)
	if err != nil || count != int64(len(want)) || end != want[len(want)-1].ID {
		t.Errorf("it ends with %s, %d entries, %v", end, count, err)
	}
	for _, n := range []int{1, 7, 50, 1000} {
		var got []eventlog.Raw
		for from := (events.ID{}); ; from = got[len(got)-1].ID {
			some, err := a.Raw(t.Context(), p.N, from, events.MaxID, n)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, some...); len(some) < n {
				break
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("in pages of %d: %d entries, and the stream has %d", n, len(got), len(want))
		}
	}
	for i := 0; i < len(want)-20; i += 13 {
		got, err := a.Range(t.Context(), p.N, want[i].ID, want[i+20].ID, 100)
		held, _ := log.Range(t.Context(), p, want[i].ID, want[i+20].ID, 100)
		if err != nil || len(got) != 20 || fmt.Sprint(got) != fmt.Sprint(held) {
			t.Fatalf("after %s: %d entries, %v", want[i].ID, len(got), err)
		}
	}
}

func TestASegmentOfOneEntryIsKept(t *testing.T) {
	log := filled(t, testredis.Start(t).URL(), 1, 3)
	a := create(t, t.TempDir())
	if w := write(t, a, log, archive.Config{MaxEntries: 1, All: true}); w.Segments != 3 {
		t.Errorf("%+v", w)
	}
	if got, err := a.Raw(t.Context(), 0, events.ID{}, events.MaxID, 10); err != nil || !reflect.DeepEqual(got, stream(t, log, log.Partitions()[0])) {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

func TestAPayloadOfAMiBAndAnEmptyPartitionAreKept(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 2)
	p := log.Partitions()[0]
	for i := range 3 {
		err := log.Conn().View.XAdd(t.Context(), &redis.XAddArgs{
			Stream: p.Events, ID: fmt.Sprintf("%d-0", noon+i), Values: []string{"data", strings.Repeat("\u2028x\xff", 1<<18), "empty", ""},
		}).Err()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := create(t, t.TempDir())
	if w := write(t, a, log, archive.Config{MaxBytes: 2 << 20, All: true}); w.Segments != 2 || w.Entries != 3 {
		t.Errorf("%+v", w)
	}
	got, err := a.Raw(t.Context(), 0, events.ID{}, events.MaxID, 10)
	if err != nil || !reflect.DeepEqual(got, stream(t, log, p)) {
		t.Errorf("%d entries, %v", len(got), err)
	}
	if end, n, err := a.End(t.Context(), 1); !end.IsZero() || n != 0 || err != nil {
		t.Errorf("the empty partition ends with %s, %d, %v", end, n, err)
	}
	if got, err := a.Range(t.Context(), 1, events.ID{}, events.MaxID, 10); len(got) != 0 || err != nil {
		t.Errorf("the empty partition has %v, %v", got, err)
	}
}

func TestASegmentEndsWithItsDayAndStaysOutWhileItIsYoung(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	const midnight = noon + 12*3600*1000
	add(t, log, p, midnight-20, 60)
	a := create(t, t.TempDir())
	write(t, a, log, archive.Config{})
	if end, _, _ := a.End(t.Context(), 0); end.Ms < midnight {
		t.Errorf("the segment of a day that is over was not written: the archive ends with %s", end)
	}
	if r, err := a.Verify(t.Context(), 0); err != nil || r.Segments != 2 || r.Entries != 60 {
		t.Errorf("%+v, %v", r, err)
	}
	young := time.Now().Add(-30 * time.Second).UnixMilli()
	add(t, log, p, young, 10)
	if w := write(t, a, log, archive.Config{All: true}); w != (archive.Written{}) {
		t.Errorf("entries of half a minute were archived: %+v", w)
	}
	if w := write(t, a, log, archive.Config{All: true, Lag: 10 * time.Second}); w.Entries != 10 {
		t.Errorf("%+v", w)
	}
}

func TestFilesAreTheOwnersAloneAndNothingElseIsLeft(t *testing.T) {
	log := filled(t, testredis.Start(t).URL(), 1, 120)
	dir := t.TempDir() + "/deep/archive"
	a := create(t, dir)
	if err := os.MkdirAll(dir+"/tasklog/p0", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tmp-0123-00000001.json", "00000001.json.17f.tmp", "00000001-" + stream(t, log, log.Partitions()[0])[0].ID.String() + "-0123456789abcdef.parquet"} {
		if err := os.WriteFile(dir+"/tasklog/p0/"+name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, a, log, small)
	write(t, a, log, small) // which sees that segment 1 has another table
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		if !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil || n != 3*3 {
		t.Errorf("%d files, %v: %v", n, err, files(t, dir))
	}
}

func TestAStreamThatDoesNotGoOnWhereTheArchiveEndsIsNotArchived(t *testing.T) {
	server := testredis.Start(t)
	log := filled(t, server.URL(), 1, 100)
	p := log.Partitions()[0]
	a := create(t, t.TempDir())
	write(t, a, log, small)
	all := stream(t, log, p)
	last := all[len(all)-1]
	rdb := server.Client()
	for _, damage := range []func() error{
		func() error { return rdb.XDel(t.Context(), p.Events, last.ID.String()).Err() },
		func() error { return rdb.Del(t.Context(), p.Events).Err() },
		func() error {
			return rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: p.Events, ID: last.ID.String(), Values: []string{"another", "one"}}).Err()
		},
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if w, err := a.Write(t.Context(), log, p, small); !errors.Is(err, archive.ErrDiverged) || w.Entries != 0 || !strings.Contains(err.Error(), last.ID.String()) {
			t.Errorf("%+v, %v", w, err)
		}
	}
}

func TestWhatWasTrimmedAndIsNotArchivedIsAGapThatMustBeAccepted(t *testing.T) {
	server := testredis.Start(t)
	log := filled(t, server.URL(), 1, 100)
	p := log.Partitions()[0]
	a := create(t, t.TempDir())
	all := stream(t, log, p)
	rdb := server.Client()
	if err := errors.Join(
		rdb.XTrimMinID(t.Context(), p.Events, all[31].ID.String()).Err(),
		rdb.HSet(t.Context(), p.Trimmed, "id", all[30].ID.String(), "entries", 31).Err(),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write(t.Context(), log, p, small); !errors.Is(err, archive.ErrGap) {
		t.Errorf("got %v", err)
	}
	cfg := small
	cfg.AcceptGap = true
	write(t, a, log, cfg)
	r, err := a.Verify(t.Context(), 0)
	if err != nil || !r.OK() || r.Entries != 69 || !reflect.DeepEqual(r.Gaps, []archive.Gap{{Until: all[30].ID}}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestManyArchiversAtOnceMakeOneArchive(t *testing.T) {
	log := filled(t, testredis.Start(t).URL(), 1, 240)
	alone, together := t.TempDir(), t.TempDir()
	write(t, create(t, alone), log, small)
	errs := make(chan error, 4)
	for range cap(errs) {
		a := create(t, together)
		go func() {
			_, err := a.Write(t.Context(), log, log.Partitions()[0], small)
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	write(t, create(t, together), log, small)
	if got, want := files(t, together), files(t, alone); !reflect.DeepEqual(got, want) {
		t.Errorf("%d files, and one alone writes %d", len(got), len(want))
	}
}

func TestAnArchiveThatIsNotThereIsNotRead(t *testing.T) {
	for _, at := range []string{"", t.TempDir() + "/none", "file://elsewhere/x", "file:///tmp?create_dir=1", "what://is"} {
		if a, err := archive.Open(t.Context(), at, "tasklog"); err == nil {
			t.Errorf("%q was opened: %v", at, a)
		}
	}
}
