package main

import (
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// program is one run of the binary.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	settings       settings
	asJSON         bool // --json
	anyRows        bool // open a log whose rows another version wrote
	parsed         bool // the command line was right; what goes wrong now is no matter of usage
}

const rootHelp = `Tasklog schedules tasks and keeps every fact about them in an append-only log on Redis.

Start with "tasklog dev": it runs everything in one process and says what to try.

Exit codes
  0  it worked
  1  it did not; also: the task that --wait waited for failed or was cancelled;
     what "tasklog verify" looked at is not as it should be
  2  the command line or a setting is wrong
  3  there is no such task, or view
  4  the task's state does not allow it, or the view is kept
  5  Redis does not answer, or the log takes no decision: its state is being
     made again, it was moved, or it is a copy that is not finished

Settings come from flags, else from TASKLOG_… variables (tasklog config lists them all), else
from defaults. An empty one was not given; a 0 is a 0, not the default. Without --redis and
TASKLOG_REDIS_URL the commands talk to the Redis that "tasklog dev" started in this folder,
else to redis://127.0.0.1:6379/0.`

func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use: "tasklog", Short: "A distributed task scheduler whose log is its queue", Long: rootHelp,
		SilenceErrors: true, SilenceUsage: true, Version: version(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			p.parsed = true
			p.settings.overlay(cmd.Flags())
			return nil
		},
	}
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.String("redis", "", "URL of the Redis that holds the log")
	flags.String("prefix", "", `what stands before every key (default "tasklog")`)
	flags.Int("partitions", 0, "streams of the log, fixed at the first use (default 1)")
	flags.String("data", "", `folder of the development Redis (default "data")`)
	flags.String("archive", "", "folder or URL of the archive that old events are read from")
	flags.String("log-level", "", "debug, info, warn or error (default info)")
	flags.String("log-format", "", "text or json (default text on a terminal)")
	flags.Bool("insecure-redis", false, "let services run on a Redis that may forget tasks")
	names(flags, "redis", "TASKLOG_REDIS_URL")
	names(flags, "insecure-redis", "TASKLOG_INSECURE_REDIS")
	names(flags, "prefix", "TASKLOG_PREFIX")
	names(flags, "partitions", "TASKLOG_PARTITIONS")
	names(flags, "data", "TASKLOG_DATA")
	names(flags, "archive", "TASKLOG_ARCHIVE")
	names(flags, "log-level", "TASKLOG_LOG_LEVEL")
	names(flags, "log-format", "TASKLOG_LOG_FORMAT")

	root.AddGroup(&cobra.Group{ID: "run", Title: "Run:"}, &cobra.Group{ID: "use", Title: "Use:"})
	for _, add := range []struct {
		group string
		cmds  []*cobra.Command
	}{
		{"run", []*cobra.Command{
			p.devCmd(), p.apiCmd(), p.schedulerCmd(), p.workerCmd(), p.projectorCmd(), p.relayCmd(),
		}},
		{"use", []*cobra.Command{
			p.enqueueCmd(), p.taskCmd(), p.queuesCmd(), p.atCmd(), p.diffCmd(), p.simulateCmd(), p.retryCmd(), p.cancelCmd(),
			p.pauseCmd(), p.resumeCmd(), p.tailCmd(), p.viewsCmd(), p.replayCmd(), p.verifyCmd(), p.archiveCmd(), p.copyCmd(),
		}},
		{"", []*cobra.Command{p.tokenCmd(), p.healthCmd(), p.configCmd(), p.versionCmd()}},
	} {
		for _, cmd := range add.cmds {
			cmd.GroupID = add.group
			root.AddCommand(cmd)
		}
	}
	return root
}

// collectOften is for commands that, unlike a service, keep much alive, of which main would allow five times as much.
func (p *program) collectOften() {
	if p.settings["GOGC"].value == "" {
		debug.SetGCPercent(100)
	}
}

// withJSON adds --json to a command.
func (p *program) withJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&p.asJSON, "json", false, "print JSON for programs")
	return cmd
}
