package testredis_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/testredis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAServerStandsStillGoesOnAndStartsAgain(t *testing.T) {
	server := testredis.Start(t)
	rdb := server.Client()
	if err := rdb.Set(t.Context(), "a", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	brief, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	o := *rdb.Options()
	o.ContextTimeoutEnabled = true
	impatient := redis.NewClient(&o)
	defer func() { _ = impatient.Close() }()
	if err := impatient.Ping(brief).Err(); err == nil {
		t.Error("it answers while it stands still")
	}
	server.Resume()
	if v, err := rdb.Get(t.Context(), "a").Result(); err != nil || v != "1" {
		t.Errorf("after that it has %q, %v", v, err)
	}
	pid := server.Pid()
	server.Restart(t)
	if server.Pid() == pid || rdb.Exists(t.Context(), "a").Val() != 0 {
		t.Error("it is the old one, or it kept what was on no disk")
	}
}

func TestEachRunsATestOnBothKindsOfRedisAndTTLsPassInThem(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		o, err := redis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		rdb := redis.NewClient(o)
		defer func() { _ = rdb.Close() }()
		if err := rdb.Set(t.Context(), "a", 1, 100*time.Millisecond).Err(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); rdb.Exists(t.Context(), "a").Val() != 0; {
			if time.Now().After(deadline) {
				t.Fatal("it lives on")
			}
		}
	})
}
