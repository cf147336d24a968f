package devredis

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embed starts a Redis in this process. It runs the same scripts, some twenty times slower, and
// keeps nothing. Its keys only age when told: a ticker tells it.
func (s *Server) embed(context.Context) error {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return fmt.Errorf("embedded Redis: %w", err)
	}
	s.Kind, s.URL = Embedded, "redis://"+m.Addr()+"/0"
	s.ended = make(chan struct{})
	stop := make(chan struct{})
	s.stop = func() {
		close(stop)
		<-s.ended
	}
	go func() {
		defer close(s.ended)
		defer m.Close()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-stop:
				return
			case now := <-tick.C:
				m.FastForward(now.Sub(last))
				last = now
			}
		}
	}()
	return nil
}
