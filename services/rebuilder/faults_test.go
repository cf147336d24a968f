package rebuilder_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
	"github.com/tasklog/tasklog/services/rebuilder"
)

// Whichever answer is lost, it may have been done: done twice it is the same.
func TestARebuildGoesOnWhateverTheNetworkLoses(t *testing.T) {
	t.Cleanup(rebuilder.SetReadPage(20)) // so that rows are read again
	h, url := busy(t)
	before, ends := h.state(t.Context())
	proxy := faults.Start(t, strings.TrimPrefix(strings.TrimSuffix(url, "/0"), "redis://"))
	log := testredis.Open(t, proxy.URL(), 2)
	cfg := rebuilder.Config{LeaseTTL: time.Minute, Memory: 2000}
	for _, command := range []string{"set", "scan", "watch", "get", "exec", "xrange", "hgetall", "hmget", "hkeys", "zrange", "time", "del"} {
		for _, kind := range []faults.Kind{faults.DropRequest, faults.DropReply} {
			h.lose(t.Context())
			hits := proxy.Set(faults.Fault{Kind: kind, Times: 2, Only: faults.Named(command)})
			_, err := rebuilder.Run(t.Context(), log, cfg)
			if n := proxy.Set(faults.Fault{}) - hits; n == 0 {
				t.Errorf("%s, %v: the fault did not happen", command, kind)
			}
			if err != nil {
				t.Errorf("%s, %v: %v", command, kind, err)
				continue
			}
			h.same(t.Context(), before, ends)
		}
	}
}
