// Package share divides the partitions of a log among those who run the same service.
//
// # How
//
// Members say every second that they are there, and hear who else is: a hash in Redis, and one script.
// From the number of members follows how many partitions each may have. Which they are nobody says: a member
// with room takes any whose lease is free, and one that has too many, because another came, gives the surplus
// back. A log with one partition has nothing to divide: nobody says anything, and each may have it.
//
// # Guarantees
//
// Where the members know of each other, they may have all partitions, and none two more than another. A member
// that comes or goes moves as many partitions as it must, and nothing moves while nobody does.
//
// What keeps two from working on one partition is its lease and not this package: members that do not know of
// each other have too much room, which harms nobody.
//
// # Failure
//
// A member killed: it is forgotten after TTL, and the others take what its leases leave. Redis away: who has not
// heard for that long who else is there may take everything that is free, and gives it back afterwards.
package share

import (
	"context"
	_ "embed"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

const (
	// TTL is how long a member that says nothing counts as being there.
	TTL = 3 * time.Second
	// Every is the time between two announcements: so long it takes until a member that comes or goes is known.
	Every = time.Second
)

// Lead works on a partition until its context ends, which it does when the partition is to be given back. It takes
// the lease at first, and returns at once where another has it; it has given it back when it returns. It returns
// how long to wait before it is called for that partition again.
type Lead func(ctx context.Context, p eventlog.Partition) time.Duration

// Share is what one member may have of the partitions.
type Share struct {
	service string
	member  string
	slog    *slog.Logger
	parts   []eventlog.Partition

	// say announces the member for some time, and returns who is there. With a ttl of 0 it signs off.
	say func(ctx context.Context, ttl time.Duration) ([]string, error)

	mu    sync.Mutex
	room  int                        // how many partitions it may have
	mine  map[int]context.CancelFunc // those that are led, and not yet to be given back
	busy  int                        // those that are led
	moved chan struct{}              // closed when room or busy has changed
}

// New returns the share of one more member of a service, such as "scheduler".
func New(log *eventlog.Log, service string, logger *slog.Logger) *Share {
	member, err := uuid.NewV7() // those who came first stand first
	if err != nil {
		member = uuid.New()
	}
	s := &Share{
		service: service, member: member.String(), slog: logger, parts: log.Partitions(),
		mine: map[int]context.CancelFunc{}, moved: make(chan struct{}),
	}
	key := s.parts[0].Members(service)
	s.say = func(ctx context.Context, ttl time.Duration) ([]string, error) {
		return membersScript.Run(ctx, log.Conn().Lease, []string{key}, s.member, ttl.Milliseconds()).StringSlice()
	}
	return s
}

//go:embed members.lua
var membersSource string

var membersScript = redis.NewScript(membersSource)

// Run calls lead for as many partitions at once as this member may have, until ctx ends and every lead has returned.
func (s *Share) Run(ctx context.Context, lead Lead) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if len(s.parts) == 1 {
		s.allow(1)
	} else {
		wg.Go(func() { s.announce(ctx) })
	}
	for _, p := range s.parts {
		wg.Go(func() {
			for ctx.Err() == nil {
				pause.For(ctx, s.turn(ctx, p, lead))
			}
		})
	}
}

// turn waits until there is room, and leads a partition.
func (s *Share) turn(ctx context.Context, p eventlog.Partition, lead Lead) time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !s.take(ctx, p, cancel) {
		return 0
	}
	defer s.give(p)
	return lead(ctx, p)
}

// take waits until there is room for a partition. It returns false when ctx ended first.
func (s *Share) take(ctx context.Context, p eventlog.Partition, cancel context.CancelFunc) bool {
	for {
		s.mu.Lock()
		free, moved := s.busy < s.room, s.moved
		if free {
			s.busy++
			s.mine[p.N] = cancel
		}
		s.mu.Unlock()
		if free {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-moved:
		}
	}
}

// give makes room for another partition.
func (s *Share) give(p eventlog.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	delete(s.mine, p.N)
	s.tell()
}

// allow says how many partitions there is room for, and has the surplus given back.
func (s *Share) allow(room int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room == s.room {
		return
	}
	s.room = room
	for _, n := range surplus(s.mine, room) {
		s.mine[n]()
		delete(s.mine, n)
	}
	s.tell()
}

// tell wakes who waits for room.
func (s *Share) tell() {
	close(s.moved)
	s.moved = make(chan struct{})
}

// announce says that this member is there and hears how much it may have, until ctx ends. Then it signs off.
func (s *Share) announce(ctx context.Context) {
	for heard := (time.Time{}); ctx.Err() == nil; pause.For(ctx, Every) {
		asked := time.Now()
		members, err := s.say(ctx, TTL)
		switch {
		case err == nil:
			heard = asked
			s.allow(room(members, s.member, len(s.parts)))
		case ctx.Err() != nil:
		case time.Since(heard) > TTL:
			s.slog.LogAttrs(ctx, slog.LevelWarn, "nobody knows who else is there: free partitions are taken",
				slog.String("service", s.service), slog.Any("error", err))
			s.allow(len(s.parts))
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = s.say(ctx, 0) // else it is forgotten
}

// room is how many partitions a member may have: the same for all, and one more for those who stand first, until
// none is left.
func room(members []string, member string, partitions int) int {
	members = slices.Sorted(slices.Values(members))
	place, found := slices.BinarySearch(members, member)
	if !found {
		return 0
	}
	n := partitions / len(members)
	if place < partitions%len(members) {
		n++
	}
	return n
}

// surplus returns which partitions of a member to give back when it may have so many: the last ones.
func surplus[V any](mine map[int]V, room int) []int {
	var all []int
	for n := range mine {
		all = append(all, n)
	}
	slices.Sort(all)
	return all[min(room, len(all)):]
}
