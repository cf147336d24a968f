package share_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/infra/share"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestThereIsRoomForEachPartitionOnceAndForAboutAsManyEverywhere(t *testing.T) {
	for partitions := 1; partitions <= 12; partitions++ {
		var members []string
		for n := range 15 {
			members = append(members, fmt.Sprintf("%02d", n))
			var rooms []int
			sum := 0
			for _, m := range members {
				room := share.Room(slices.Concat(members[1:], members[:1]), m, partitions) // in any order
				rooms, sum = append(rooms, room), sum+room
			}
			if sum != partitions || slices.Max(rooms)-slices.Min(rooms) > 1 {
				t.Errorf("%d partitions, %d members: room for %v", partitions, n+1, rooms)
			}
		}
	}
	if room := share.Room([]string{"a"}, "b", 6); room != 0 {
		t.Errorf("one that is not there has room for %d", room)
	}
}

const leaseTTL = 5 * time.Second

// A town is the members of a service, who they know of, and their leases. It stands in for Redis.
type town struct {
	mu     sync.Mutex
	away   bool
	seen   map[string]time.Time
	leases map[int]lease
	moves  int
}

type lease struct {
	owner string
	until time.Time
}

// A member is one of the town that runs.
type member struct {
	*share.Share
	*town
	stop   context.CancelFunc
	killed bool
	over   chan struct{}
}

func (tn *town) join(log *eventlog.Log) *member {
	m := &member{Share: share.New(log, "test", quiet()), town: tn, over: make(chan struct{})}
	m.Say(m.say)
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() {
		defer close(m.over)
		m.Run(ctx, m.lead)
	}()
	return m
}

// kill ends a member that says nothing any more, and leaves its leases behind.
func (m *member) kill() {
	m.mu.Lock()
	m.killed = true
	m.mu.Unlock()
	m.leave()
}

func (m *member) leave() {
	m.stop()
	<-m.over
}

func (m *member) say(_ context.Context, ttl time.Duration) (all []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.killed || m.away {
		return nil, errors.New("away")
	}
	delete(m.seen, m.Member())
	if ttl > 0 {
		m.seen[m.Member()] = time.Now()
	}
	for who, at := range m.seen {
		if time.Since(at) < share.TTL {
			all = append(all, who)
		}
	}
	return all, nil
}

func (m *member) lead(ctx context.Context, p eventlog.Partition) time.Duration {
	for had := false; ; had = true {
		m.mu.Lock()
		l := m.leases[p.N]
		taken := l.owner != m.Member() && time.Now().Before(l.until)
		if !taken && !had {
			m.moves++
		}
		switch {
		case ctx.Err() != nil && had && !m.killed:
			delete(m.leases, p.N)
		case !taken && ctx.Err() == nil:
			m.leases[p.N] = lease{m.Member(), time.Now().Add(leaseTTL)}
		}
		m.mu.Unlock()
		if taken || ctx.Err() != nil {
			return time.Second
		}
		pause.For(ctx, time.Second)
	}
}

// held is how many partitions each has.
func (tn *town) held() map[string]int {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	have := map[string]int{}
	for _, l := range tn.leases {
		if time.Now().Before(l.until) {
			have[l.owner]++
		}
	}
	return have
}

// settled fails the test unless the members that are there have all partitions, each about as many.
func (tn *town) settled(t *testing.T, members []*member, partitions int) {
	t.Helper()
	held, sum, rooms := tn.held(), 0, []int{}
	for _, m := range members {
		n := held[m.Member()]
		rooms, sum = append(rooms, n), sum+n
	}
	if sum != partitions || slices.Max(rooms)-slices.Min(rooms) > 1 {
		t.Errorf("%d partitions: the members have %v", partitions, rooms)
	}
}

func TestWhoeverComesAndGoesAllPartitionsAreSharedSoonAndThenNothingMoves(t *testing.T) {
	for seed := range uint64(40) {
		dice := rand.New(rand.NewPCG(seed, 0))
		partitions := 2 + dice.IntN(11)
		log := testredis.Open(t, testredis.Embedded(t), partitions)
		synctest.Test(t, func(t *testing.T) {
			tn := &town{seen: map[string]time.Time{}, leases: map[int]lease{}}
			members := []*member{tn.join(log)}
			for range 12 {
				i := dice.IntN(len(members))
				switch dice.IntN(4) {
				case 0:
					members = append(members, tn.join(log))
				case 1:
					if len(members) > 1 {
						members[i].leave()
						members = slices.Delete(members, i, i+1)
					}
				case 2:
					if len(members) > 1 {
						members[i].kill()
						members = slices.Delete(members, i, i+1)
					}
				case 3:
					tn.mu.Lock()
					tn.away = !tn.away
					tn.mu.Unlock()
				}
				pause.For(t.Context(), time.Duration(dice.IntN(5000))*time.Millisecond)
			}
			tn.mu.Lock()
			tn.away = false
			tn.mu.Unlock()
			pause.For(t.Context(), leaseTTL+3*share.Every)
			tn.settled(t, members, partitions)
			moves := tn.moves
			pause.For(t.Context(), time.Minute)
			tn.settled(t, members, partitions)
			if tn.moves != moves {
				t.Errorf("seed %d: %d partitions changed hands while nobody came or went", seed, tn.moves-moves)
			}
			for _, m := range members {
				m.leave()
			}
			if left := tn.held(); len(left) != 0 {
				t.Errorf("seed %d: all have left, and %v is held", seed, left)
			}
		})
	}
}

func TestOneMemberMoreTakesNoMoreThanItsShare(t *testing.T) {
	log := testredis.Open(t, testredis.Embedded(t), 6)
	synctest.Test(t, func(t *testing.T) {
		tn := &town{seen: map[string]time.Time{}, leases: map[int]lease{}}
		var members []*member
		for n, moved := range []int{6, 3, 2, 1} { // 6 | 3 3 | 2 2 2 | 2 2 1 1
			before := tn.moves
			members = append(members, tn.join(log))
			pause.For(t.Context(), 4*share.Every)
			tn.settled(t, members, 6)
			if tn.moves-before != moved {
				t.Errorf("with %d members %d partitions moved, want %d", n+1, tn.moves-before, moved)
			}
		}
		for _, m := range members {
			m.leave()
		}
	})
}

func TestAPartitionAloneIsEverybodysAndNobodySaysAnything(t *testing.T) {
	log := testredis.Open(t, testredis.Embedded(t), 1)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		s := share.New(log, "test", quiet())
		s.Say(func(context.Context, time.Duration) ([]string, error) {
			t.Error("it says that it is there")
			return nil, nil
		})
		calls := 0
		s.Run(ctx, func(ctx context.Context, _ eventlog.Partition) time.Duration {
			calls++
			<-ctx.Done()
			return 0
		})
		if calls != 1 {
			t.Errorf("led %d times, want once", calls)
		}
	})
}

// said waits until a member of a real Redis may have so many partitions: no lease is in the way.
func said(t *testing.T, log *eventlog.Log) (has func(want int), leave func()) {
	t.Helper()
	var mu sync.Mutex
	led := map[int]bool{}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		share.New(log, "test", quiet()).Run(ctx, func(ctx context.Context, p eventlog.Partition) time.Duration {
			set := func(on bool) { mu.Lock(); led[p.N] = on; mu.Unlock() }
			set(true)
			<-ctx.Done()
			set(false)
			return 0
		})
	}()
	leave = func() { stop(); <-over }
	t.Cleanup(leave)
	return func(want int) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for late := time.After(20 * time.Second); ; {
			mu.Lock()
			n := 0
			for _, on := range led {
				if on {
					n++
				}
			}
			mu.Unlock()
			if n == want {
				return
			}
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("it has %d partitions, want %d", n, want)
			}
		}
	}, leave
}

func TestMembersHearOfEachOther(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := testredis.Open(t, url, 6)
		key, rdb := log.Partitions()[0].Members("test"), log.Conn().View
		// One from the future, one that was killed long ago, and one that nobody wrote.
		if err := rdb.HSet(t.Context(), key, "future", 1<<50, "gone", 1, "broken", "x").Err(); err != nil {
			t.Fatal(err)
		}
		first, leave := said(t, log)
		first(6)
		second, _ := said(t, log)
		first(3)
		second(3)
		if names := rdb.HKeys(t.Context(), key).Val(); len(names) != 2 {
			t.Errorf("there are %v, want the two", names)
		}
		leave()
		second(6)
		if names := rdb.HKeys(t.Context(), key).Val(); len(names) != 1 {
			t.Errorf("there are %v, want the one that is left", names)
		}
	})
}

func TestWhoHearsNothingTakesWhatIsFreeAndSharesAgainAfterwards(t *testing.T) {
	t.Parallel()
	srv := testredis.Start(t)
	log := testredis.Open(t, srv.URL(), 4)
	first, _ := said(t, log)
	second, _ := said(t, log)
	first(2)
	second(2)
	srv.Kill()
	first(4)
	second(4)
	srv.Restart(t)
	first(2)
	second(2)
}
