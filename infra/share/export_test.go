package share

import (
	"context"
	"time"
)

// Room is how many partitions a member may have.
var Room = room

// Member is the name of the member.
func (s *Share) Member() string { return s.member }

// Say replaces what announces the member.
func (s *Share) Say(say func(ctx context.Context, ttl time.Duration) ([]string, error)) { s.say = say }
