//go:build chaos

package crashpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	armed Point
	left  atomic.Int64
)

func init() {
	name, nth, _ := strings.Cut(os.Getenv(Variable), ":")
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil {
		n = 1
	}
	armed = Point(name)
	left.Store(n)
}

// Hit ends the process where it stands, if p is the point that it was told to die at, and this the hit.
func Hit(p Point) {
	if p != armed || left.Add(-1) != 0 {
		return
	}
	_, _ = os.Stderr.WriteString(Last + string(p) + "\n")
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is under way
}
