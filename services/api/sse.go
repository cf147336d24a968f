package api

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/tasklog/tasklog/events"
)

const streamTimeout = 5 * time.Second // for a client to take what is written

// admitStream counts an event stream that opens, or refuses it. Whoever opened it calls leave.
func (a *API) admitStream() (leave func(), err error) {
	if n := a.streams.Add(1); n > int64(a.cfg.MaxStreams) {
		a.streams.Add(-1)
		p := newProblem(http.StatusServiceUnavailable, "too-many-streams", "Too many event streams are open",
			fmt.Sprintf("%d are the most", a.cfg.MaxStreams))
		p.retryAfter = 5
		return nil, p
	}
	a.metrics.streams.Inc()
	return func() {
		a.streams.Add(-1)
		a.metrics.streams.Dec()
	}, nil
}

// sse writes server-sent events.
type sse struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	out   bytes.Buffer // collected for flush
	begun bool
}

func newSSE(w http.ResponseWriter) *sse { return &sse{w: w, rc: http.NewResponseController(w)} }

// send writes one event, whose data is v as JSON.
func (s *sse) send(event string, v any) error {
	data, err := events.Marshal(v)
	if err != nil {
		return err
	}
	return s.write(event, data)
}

// write writes one event, whose data is JSON.
func (s *sse) write(event string, data []byte) error {
	fmt.Fprintf(&s.out, "event: %s\ndata: %s\n\n", event, data)
	return s.flush()
}

// flush writes what is collected, with the head before the first of it. A client that does not take
// it in time is an os.ErrDeadlineExceeded, and the end of the stream.
func (s *sse) flush() error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(streamTimeout)) // a writer without deadlines is a test's
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "text/event-stream")
		s.w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold events back
		s.w.WriteHeader(http.StatusOK)
		if _, err := s.w.Write([]byte("retry: 1000\n\n")); err != nil {
			return err
		}
	}
	_, err := s.w.Write(s.out.Bytes())
	s.out.Reset()
	if err != nil {
		return err
	}
	return s.rc.Flush()
}
