package archive_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/testredis"
)

// damaged does something to a file of an archive, and undoes it at the end of f.
func damaged(t *testing.T, path string, with []byte, f func()) {
	t.Helper()
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if with == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, with, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f()
	if err := os.WriteFile(path, was, 0o600); err != nil {
		t.Fatal(err)
	}
}

// told verifies an archive, which must be told to be wrong in one object.
func told(t *testing.T, dir, object string) archive.Report {
	t.Helper()
	a := create(t, dir)
	r, err := a.Verify(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Wrong, func(w archive.Wrong) bool { return w.Object == object }) {
		t.Errorf("%s is damaged, and told is %+v", object, r.Wrong)
	}
	return r
}

func TestAByteThatChangedIsDetectedAndItsFileNamed(t *testing.T) {
	log := filled(t, testredis.Start(t).URL(), 1, 120)
	dir := t.TempDir()
	write(t, create(t, dir), log, small)
	all := files(t, dir)
	flips := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		path, data := filepath.Join(dir, name), []byte(all[name])
		stride := len(data)/40 + 1
		for k := 0; k < len(data); k += stride {
			flips++
			with := slices.Clone(data)
			with[k] ^= 1 << (k % 8)
			damaged(t, path, with, func() { told(t, dir, name) })
		}
		for _, with := range [][]byte{{}, data[:len(data)/2], data[:len(data)-1], append(slices.Clone(data), '\n'), nil} {
			if strings.HasSuffix(name, "00000003.json") && with == nil {
				continue // then there is no such segment
			}
			damaged(t, path, with, func() { told(t, dir, name) })
		}
	}
	if r, err := create(t, dir).Verify(t.Context(), 0); err != nil || !r.OK() || flips < 9*30 {
		t.Errorf("undamaged: %+v, %v; %d flips", r, err, flips)
	}
}

func TestFilesAndManifestsThatBelongElsewhereAreDetected(t *testing.T) {
	url := testredis.Start(t).URL()
	log := filled(t, url, 2, 120)
	dir := t.TempDir()
	write(t, create(t, dir), log, small)
	all := files(t, dir)
	for _, suffix := range []string{".json", ".ndjson.zst", ".parquet"} {
		one, two := named(t, dir+"/tasklog/p0", "00000001", suffix), named(t, dir+"/tasklog/p0", "00000002", suffix)
		one, two = "tasklog/p0/"+one, "tasklog/p0/"+two
		damaged(t, filepath.Join(dir, one), []byte(all[two]), func() {
			damaged(t, filepath.Join(dir, two), []byte(all[one]), func() {
				told(t, dir, one)
				told(t, dir, two)
			})
		})
	}
	other := all["tasklog/p1/00000002.json"]
	damaged(t, filepath.Join(dir, "tasklog/p0/00000002.json"), []byte(other), func() {
		if r := told(t, dir, "tasklog/p0/00000002.json"); !strings.Contains(r.Wrong[0].Why, "partition 1") {
			t.Errorf("%+v", r.Wrong)
		}
	})
	foreign, err := archive.Create(t.Context(), dir, "an/other .one")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir+"/an%2Fother%20%2Eone", os.DirFS(dir+"/tasklog")); err != nil {
		t.Fatal(err)
	}
	r, err := foreign.Verify(t.Context(), 0)
	if err != nil || r.OK() || !strings.Contains(r.Wrong[0].Why, `prefix "tasklog"`) {
		t.Errorf("%+v, %v", r, err)
	}
	if err := foreign.Close(); err != nil {
		t.Error(err)
	}
}

func TestADamagedSegmentStopsOnlyReadsThatNeedIt(t *testing.T) {
	log := filled(t, testredis.Start(t).URL(), 1, 150)
	p := log.Partitions()[0]
	dir := t.TempDir()
	write(t, create(t, dir), log, small)
	all := stream(t, log, p)
	at := dir + "/tasklog/p0/"
	for _, name := range []string{"00000002.json", named(t, at, "00000002", ".zst")} {
		for _, with := range [][]byte{nil, []byte("{}\n")} {
			damaged(t, at+name, with, func() {
				a := create(t, dir)
				for _, part := range [][2]int{{0, 49}, {100, 149}} {
					from := events.ID{}
					if part[0] > 0 {
						from = all[part[0]-1].ID
					}
					if got, err := a.Raw(t.Context(), 0, from, all[part[1]].ID, 1000); err != nil || len(got) != 50 {
						t.Errorf("%s: entries %v: %d, %v", name, part, len(got), err)
					}
				}
				for _, part := range [][2]int{{0, 149}, {40, 60}, {60, 61}, {90, 110}} {
					got, err := a.Range(t.Context(), 0, all[part[0]].ID, all[part[1]].ID, 1000)
					e, ok := errors.AsType[*archive.SegmentError](err)
					if !ok || len(got) != 0 || e.Object != "tasklog/p0/"+name || e.First.Compare(all[50].ID) > 0 || e.Last.Compare(all[99].ID) < 0 {
						t.Errorf("%s: entries %v: %d, %v", name, part, len(got), err)
					}
				}
				if w, err := a.Write(t.Context(), log, p, small); strings.HasSuffix(name, ".json") && (err == nil || w.Segments > 0) {
					t.Errorf("%s: a damaged chain was made longer: %+v, %v", name, w, err)
				}
			})
		}
	}
}
