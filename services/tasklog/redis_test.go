package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/network"
)

func TestServicesRefuseARedisThatEvictsUnlessTheyAreTold(t *testing.T) {
	srv := testredis.Start(t, "--maxmemory-policy", "allkeys-lru")
	env := []string{"TASKLOG_REDIS_URL=" + srv.URL(), "TASKLOG_ADDR=127.0.0.1:0"}
	for _, args := range [][]string{
		{"api"}, {"scheduler"}, {"projector"}, {"worker", "--demo"}, {"relay", "--to", "http://example.com/"}, {"dev"},
	} {
		p := launch(t, t.TempDir(), env, args...)
		p.says(t, "maxmemory-policy is allkeys-lru, so it forgets tasks when it is full: set it to noeviction")
		p.says(t, "--insecure-redis")
		if err := p.cmd.Wait(); err == nil || p.cmd.ProcessState.ExitCode() != exitFailure {
			t.Errorf("%v ended with %v, want exit code %d", args, err, exitFailure)
		}
	}
	p := launch(t, t.TempDir(), env, "api", "--insecure-redis")
	p.says(t, "redis may lose tasks.*allkeys-lru")
	p.says(t, "the API listens")
	p.terminate(t)
	p = launch(t, t.TempDir(), slices.Concat(env, []string{"TASKLOG_INSECURE_REDIS=true"}), "scheduler")
	p.says(t, "redis may lose tasks.*allkeys-lru")
	p.terminate(t)
}

func TestAServiceSaysThatRedisKeepsNoAppendOnlyFile(t *testing.T) {
	srv := testredis.Start(t)
	env := []string{"TASKLOG_REDIS_URL=" + srv.URL(), "TASKLOG_ADDR=127.0.0.1:0"}
	p := launch(t, t.TempDir(), env, "api")
	p.says(t, "redis may lose tasks.*append-only file")
	p.says(t, "the API listens")
	p.terminate(t)
	srv.Set(t, "appendonly", "yes")
	p = launch(t, t.TempDir(), env, "api")
	if line := p.says(t, `redis may lose tasks|the API listens`); line != "the API listens" {
		t.Errorf("with AOF it says %q", line)
	}
	p.terminate(t)
}

func TestAServiceWaitsForARedisThatAnswersOnlyBriefly(t *testing.T) {
	line := network.Start(t, testredis.Start(t, "--appendonly", "yes").Addr())
	line.Cut(network.Replies, 100) // PONG comes through, what follows does not
	p := launch(t, t.TempDir(), []string{"TASKLOG_REDIS_URL=" + line.URL(), "TASKLOG_ADDR=127.0.0.1:0"}, "api")
	p.says(t, "redis cannot be used yet: waiting for it")
	line.Heal()
	p.says(t, "the API listens")
	p.terminate(t)
}

func TestWhatTheRedisClientSaysOfItsConnectionsIsLoggedForThoseWhoDebugAndForNobodyElse(t *testing.T) {
	srv := testredis.Start(t)
	srv.Kill()
	for level, want := range map[string]string{
		"debug": `"level":"DEBUG","msg":"the redis client speaks","says":"[^"]*refused`,
		"info":  "redis cannot be used yet: waiting for it",
	} {
		p := launch(t, t.TempDir(), []string{"TASKLOG_REDIS_URL=" + srv.URL(), "TASKLOG_LOG_FORMAT=json", "TASKLOG_LOG_LEVEL=" + level}, "scheduler")
		p.says(t, want)
		p.terminate(t)
		for line := range strings.Lines(p.everything()) {
			if !strings.HasPrefix(line, "{") || level == "info" && strings.Contains(line, "redis client") {
				t.Errorf("at level %s it says %s", level, line)
			}
		}
	}
}
