package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// LogConfig chooses how a process logs.
type LogConfig struct {
	// LogLevel is the least level that is logged: debug, info, warn or error. Empty means info.
	LogLevel string `env:"TASKLOG_LOG_LEVEL"`
	// LogFormat is text or json. Empty means text on a terminal, json elsewhere.
	LogFormat string `env:"TASKLOG_LOG_FORMAT"`
}

// Logger returns a logger that writes to w, one line an entry: both formats escape line breaks, so
// what a client sent cannot forge a line. level is debug, info, warn or error, and empty means info;
// format is text or json, and empty means text when w is a terminal, json otherwise.
func Logger(w io.Writer, level, format string) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	if level != "" {
		var l slog.Level
		if err := l.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
		}
		opts.Level = l
	}
	opts.ReplaceAttr = readable
	switch format {
	case "":
		if IsTerminal(w) {
			return slog.New(slog.NewTextHandler(w, &opts)), nil
		}
		return slog.New(slog.NewJSONHandler(w, &opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, &opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &opts)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}

// readable says durations as people do, such as 1.5s: JSON would have them as ns, without a unit.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// IsTerminal reports whether a person reads w.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
