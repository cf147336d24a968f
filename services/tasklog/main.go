// Tasklog is the one binary: every service and every command line tool is a subcommand of it.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/redis/go-redis/v9"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // little is alive, and much is made: collecting less often is a tenth of the CPU
	}
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)}) // what goes wrong is an error that we tell, once
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks to stop; a second one, not caught any more, ends the process.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// run is the program: it ends when ctx does at the latest, and returns the exit code. It reads
// nothing of the process but its arguments.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, settings: parseEnviron(environ)}
	root := newRoot(p)
	root.SetArgs(instants(root, args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return p.exit(root.ExecuteContext(ctx))
}

// redisLog is where go-redis says, in words of its own, what befalls its connections.
type redisLog struct{ to *slog.Logger }

// Printf implements go-redis' logger.
func (l redisLog) Printf(ctx context.Context, format string, args ...any) {
	if l.to.Enabled(ctx, slog.LevelDebug) {
		l.to.LogAttrs(ctx, slog.LevelDebug, "the redis client speaks", slog.String("says", fmt.Sprintf(format, args...)))
	}
}
