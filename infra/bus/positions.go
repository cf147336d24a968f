package bus

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// positionField is where a position travels among an entry's fields. Its value is a position and not
// a string, so that no field of an entry can be taken for one.
const positionField = "\x00position"

// NamePositions makes a client name the position of every entry that it reads by XREADGROUP, XREAD,
// XCLAIM or XAUTOCLAIM, for the Unmarshaller to find. Call it once for each client that a stock
// subscriber is given, before the first command.
func NamePositions(client redis.UniversalClient) { client.AddHook(positions{}) }

// positions is the hook of NamePositions.
type positions struct{}

// DialHook implements redis.Hook.
func (positions) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (positions) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil {
			namePositions(cmd)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (positions) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if cmd.Err() == nil {
				namePositions(cmd)
			}
		}
		return err
	}
}

func namePositions(cmd redis.Cmder) {
	switch cmd := cmd.(type) {
	case *redis.XStreamSliceCmd: // XREADGROUP, XREAD
		for _, s := range cmd.Val() {
			name(s.Stream, s.Messages)
		}
	case *redis.XMessageSliceCmd: // XCLAIM
		name(key(cmd), cmd.Val())
	case *redis.XAutoClaimCmd:
		msgs, _ := cmd.Val()
		name(key(cmd), msgs)
	}
}

// key is the first argument of a command.
func key(cmd redis.Cmder) string {
	if args := cmd.Args(); len(args) > 1 {
		s, _ := args[1].(string)
		return s
	}
	return ""
}

// name puts positions into the fields of entries. Entries that were deleted have no fields.
func name(stream string, msgs []redis.XMessage) {
	for i := range msgs {
		if msgs[i].Values == nil {
			msgs[i].Values = map[string]any{}
		}
		msgs[i].Values[positionField] = position{stream, msgs[i].ID}
	}
}
