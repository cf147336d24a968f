package bus

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/redis/go-redis/v9"
)

// NewLogger returns a logger for Watermill's parts that writes to ours. Their errors become warnings,
// for what fails there is tried again; the rest of what they say, several lines for each message, is
// left out. So is that a client was closed, by which the stock subscriber learns that it has to end.
func NewLogger(logger *slog.Logger) watermill.LoggerAdapter { return adapter{log: logger} }

type adapter struct {
	watermill.NopLogger
	log    *slog.Logger
	fields watermill.LogFields
}

// Error implements watermill.LoggerAdapter.
func (a adapter) Error(msg string, err error, fields watermill.LogFields) {
	if errors.Is(err, redis.ErrClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
		return
	}
	attrs := []slog.Attr{slog.String("said", msg), slog.Any("error", err)}
	for k, v := range a.fields.Add(fields) {
		attrs = append(attrs, slog.Any(k, v))
	}
	a.log.LogAttrs(context.Background(), slog.LevelWarn, "watermill reports an error", attrs...)
}

// With implements watermill.LoggerAdapter.
func (a adapter) With(fields watermill.LogFields) watermill.LoggerAdapter {
	a.fields = a.fields.Add(fields)
	return a
}
