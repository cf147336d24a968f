package whole_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sys/unix"

	"github.com/tasklog/tasklog/infra/testredis"
)

func TestAFullDiskRefusesTasksAndLosesNothing(t *testing.T) {
	// So that Redis is told of the limit by an error, and not killed.
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	dir := t.TempDir()
	srv := testredis.Start(t, "--appendonly", "yes", "--dir", dir)
	work := newHeld()
	h := on(t, srv, srv.URL(), 0, work.handle)
	h.post(`{"taskName":"t","customJobId":"held"}`)
	<-work.began
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	limit := func(bytes uint64) {
		t.Helper()
		if err := unix.Prlimit(srv.Pid(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(uint64(info.Size()) + 50_000)
	accepted := h.fill("t", 1000)
	close(work.finish)
	if err := srv.Client().Set(t.Context(), "x", 1, 0).Err(); !redis.HasErrorPrefix(err, "MISCONF") {
		t.Errorf("Redis answers %v: the disk is not full", err)
	}
	limit(unix.RLIM_INFINITY)
	h.smooth(append(accepted, "held")...)
}
