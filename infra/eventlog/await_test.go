package eventlog_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestAwaitTriesAgainWhileRedisDoesNotAnswerAndNoLonger(t *testing.T) {
	final := errors.New("no such user")
	for _, tt := range []struct {
		name  string
		tries []error // the last one for ever
		bound time.Duration
		want  error
		takes time.Duration
	}{
		{"it answers", []error{nil}, time.Hour, nil, 0},
		{"it comes", []error{io.EOF, io.EOF, nil}, time.Hour, nil, 4 * time.Second},
		{"it lets nobody in", []error{final}, time.Hour, final, 0},
		{"it comes and lets nobody in", []error{io.EOF, final}, time.Hour, final, 2 * time.Second},
		{"it never comes", []error{io.EOF}, 5 * time.Second, io.EOF, 5 * time.Second},
		{"nobody waits", []error{io.EOF}, 0, io.EOF, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.bound)
			defer cancel()
			began, tried, told := time.Now(), 0, 0
			err := eventlog.Await(ctx, func() error {
				tried++
				return tt.tries[min(tried, len(tt.tries))-1]
			}, func(err error) {
				told++
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: it waits because of %v", tt.name, err)
				}
			})
			if took := time.Since(began); !errors.Is(err, tt.want) || took != tt.takes {
				t.Errorf("%s: %v after %s, want %v after %s", tt.name, err, took, tt.want, tt.takes)
			}
			if want := int((tt.takes + 1999*time.Millisecond) / (2 * time.Second)); told != want {
				t.Errorf("%s: told %d times, want %d", tt.name, told, want)
			}
		})
	}
}
