package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/infra/pause"
)

// Await is for programs that may start before their Redis: it calls try, again every two seconds while that
// fails because Redis does not answer (see Unavailable). Before each wait it tells waiting why, and when ctx
// ends it returns the last reason.
func Await(ctx context.Context, try func() error, waiting func(error)) error {
	var why error
	for {
		err := try()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && why != nil: // err may tell no more than that
			return why
		case answered(err, "MOVED ", "ASK "): // a client of one node follows no redirection, however long it waits
			return fmt.Errorf("%w: this is a node of a Redis Cluster: say so with ?cluster=true in the URL", err)
		case ctx.Err() != nil || !Unavailable(err):
			return err
		}
		why = err
		waiting(why)
		if pause.For(ctx, 2*time.Second); ctx.Err() != nil {
			return why
		}
	}
}
