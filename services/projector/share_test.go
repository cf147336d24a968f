package projector_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/services/projector"
)

// leads is how many partitions a projector keeps.
func leads(t *testing.T, reg *prometheus.Registry) (n int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tasklog_projector_leads" {
			for _, m := range f.GetMetric() {
				n += int(m.GetGauge().GetValue())
			}
		}
	}
	return n
}

func TestProjectorsShareThePartitionsAndTheViewsAreThoseOfTheLog(t *testing.T) {
	t.Parallel()
	log := open(t, testredis.Start(t).URL(), 6)
	var regs []*prometheus.Registry
	var stops []func()
	more := func() {
		regs = append(regs, prometheus.NewRegistry())
		stops = append(stops, run(t, log, quiet(), regs[len(regs)-1]))
	}
	share := func(want ...int) {
		t.Helper()
		eventually(t, fmt.Sprint("they keep ", want), func() bool {
			var have []int
			for _, reg := range regs {
				have = append(have, leads(t, reg))
			}
			return slices.Equal(have, want)
		})
	}
	written := 0
	write := func() { // while partitions change hands
		for i, p := range log.Partitions() {
			list := simulation.Make(simulation.Config{Seed: uint64(20 + i), Events: 2000}).Events
			write(t, log, p, list[written:written+500])
		}
		written += 500
	}
	more()
	write()
	share(6)
	more()
	write()
	share(3, 3)
	more()
	write()
	share(2, 2, 2)
	began := time.Now()
	stops[1]()
	write()
	share(3, 0, 3)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the partitions of one that stopped were taken over in %s", took)
	}
	var got []string
	for _, p := range log.Partitions() {
		caughtUp(t, log, p)
		got = append(got, dump(t, log, p))
	}
	if _, err := projector.Rebuild(t.Context(), log, projector.Options{}); err != nil {
		t.Fatal(err)
	}
	for i, p := range log.Partitions() {
		if want := dump(t, log, p); got[i] != want {
			t.Errorf("partition %d: %s", i, differ(got[i], want))
		}
	}
}
