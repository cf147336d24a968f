package testredis

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Calls returns how often a Redis has run each command, those of scripts included.
func Calls(t testing.TB, rdb redis.Cmdable) map[string]int {
	t.Helper()
	info, err := rdb.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	for line := range strings.Lines(info) {
		name, stats, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		var n int
		if _, err := fmt.Sscanf(stats, "%d", &n); err == nil {
			calls[name] = n
		}
	}
	return calls
}

// AllCalls returns how many commands a Redis has run, those of scripts included, but for INFO, by which we ask.
func AllCalls(t testing.TB, rdb redis.Cmdable) (n int) {
	t.Helper()
	for name, calls := range Calls(t, rdb) {
		if name != "info" {
			n += calls
		}
	}
	return n
}

// MainThread returns the CPU time that a Redis' main thread has used, in µs.
func MainThread(t testing.TB, rdb redis.Cmdable) (us float64) {
	t.Helper()
	info, err := rdb.Info(t.Context(), "cpu").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		var s float64
		for _, mode := range []string{"user", "sys"} {
			if n, _ := fmt.Sscanf(line, "used_cpu_"+mode+"_main_thread:%f", &s); n == 1 {
				us += s * 1e6
			}
		}
	}
	return us
}
