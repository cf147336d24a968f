package view_test

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/crashpoint/crashtest"
	"github.com/tasklog/tasklog/infra/testredis"
)

// A program that keeps version 2 of the view, and dies where it is told to.
const program = `package main

import (
	"context"
	"os"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/services/view"
)

type count struct{ projections.Fields[int64] }

func (c *count) Name() string { return "count" }
func (c *count) Version() int { return 2 }
func (c *count) Apply(e events.Event) { *c.Touch(string(e.Data.Type())) += 2 }
func (c *count) Merge(*count) {}

func main() {
	s, err := view.Connect(context.Background(), os.Args[1], view.Config{})
	if err == nil {
		err = view.Keep(context.Background(), s, new(count))
	}
	println(err.Error())
}
`

func TestProgramsThatAreKilledAtAnyMomentCountEveryEventOnce(t *testing.T) {
	t.Parallel()
	binary := crashtest.Build(t, "", program)
	h := build(t, testredis.Start(t).URL(), 2)
	s := h.store()
	run := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), binary, h.url)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	end := func(cmd *exec.Cmd) {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
	}
	list := history(12, 12_000)
	running := []*exec.Cmd{run(), run()}
	written := 0
	for round := range 4 {
		_, before := h.read(s, 2)
		for range 3 {
			h.write(list[written : written+1000])
			written += 1000
		}
		if round == 0 || before.Newest.IsZero() { // somebody is at it
			h.until("the view moves", func() bool { _, fresh := h.read(s, 2); return fresh.Newest.After(before.Newest) })
		}
		end(running[0])
		running = append(running[1:], run())
	}
	h.reaches(s, 2, fold(list, 2))
	for _, cmd := range running {
		end(cmd)
	}
}

func TestAKeeperThatIsKilledAnywhereLeavesNoTraceAfterTheNextRun(t *testing.T) {
	t.Parallel()
	binary := crashtest.Build(t, "chaos", program)
	list := history(8, 9000)
	for _, point := range crashpoint.OwnPoints {
		for _, nth := range []string{":1", ":3"} {
			if nth == ":3" && point != crashpoint.OwnMidRebuild {
				continue // it comes by once
			}
			t.Run(string(point)+nth, func(t *testing.T) {
				t.Parallel()
				h := build(t, testredis.Start(t).URL(), 2)
				h.write(list)
				s := h.store()
				first := h.keep(&count{version: 1})
				h.reaches(s, 1, fold(list, 1))
				first.stop()
				out, err := crashtest.Run(t, binary, string(point)+nth, h.url)
				if !crashtest.Killed(err) || !strings.Contains(out, crashpoint.Last) {
					t.Fatalf("it did not die there: %v\n%s", err, out)
				}
				got, fresh := h.read(s, 2)
				want := map[int]map[string]int64{1: fold(list, 1), 2: fold(list, 2)}[fresh.Version]
				if !maps.Equal(got, want) || (fresh.Version == 2) != (point == crashpoint.OwnAfterSwap) {
					t.Errorf("after it died version %d is %v", fresh.Version, got)
				}
				second := h.keep(&count{version: 2})
				h.reaches(s, 2, fold(list, 2))
				h.until("nothing of the old version is left", func() bool {
					return !slices.ContainsFunc(h.keys(), func(key string) bool { return strings.Contains(key, "count:1") })
				})
				second.stop()
				h.until("the leases of the one that died are over", func() bool {
					return !slices.ContainsFunc(h.keys(), func(key string) bool { return strings.HasSuffix(key, ":lease") })
				})
				p, n := h.log.Partitions()[0], 0
				for _, p := range h.log.Partitions() {
					n += int(h.log.Conn().View.HLen(t.Context(), p.View("own:count:2")).Val())
					if lag, err := h.log.Last(t.Context(), p); err != nil || h.log.Conn().View.HGet(t.Context(), p.Readers, "view:count:2").Val() != lag.String() {
						t.Errorf("partition %d: the reader is not at %s, %v", p.N, lag, err)
					}
				}
				if keys := h.keys(); n == 0 || len(keys) != 8 || !slices.Contains(keys, p.View("own:count")) {
					t.Errorf("there are %q", keys) // of each partition: version, fields, head and reader
				}
			})
		}
	}
}
