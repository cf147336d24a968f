package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/wire"
	"github.com/tasklog/tasklog/services/client"
)

// enqueued is what enqueue prints: the answer of POST /api/tasks, and with --wait the outcome.
type enqueued struct {
	wire.Receipt
	Attempt int             `json:"attempt,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	Reason  events.Reason   `json:"reason,omitempty"`
	EndedAt string          `json:"endedAt,omitempty"`
}

const enqueueHelp = `Ask for a task. With --wait, return when it is over: exit code 0 if it was completed, else 1. Where nobody is there
to run it, the standard error says so, and the wait goes on.

With --file, ask for a task with each line of a file, or of the standard input for "-". A line is what POST
/api/tasks takes: {"taskName":"sendEmail","payload":{"userId":123},"customJobId":"welcome-123"}. A line that is wrong
fails alone, is told with its number, and makes the exit code 1. Ctrl-C reads no further and says from which
line to go on; lines with a customJobId may be sent twice and make one task.`

func (p *program) enqueueCmd() *cobra.Command {
	var (
		t              client.Task
		payload, runAt string
		wait           bool
		file           string
	)
	cmd := p.withJSON(&cobra.Command{
		Use: "enqueue NAME | --file FILE", Short: "Ask for a task, or for all of a file", Long: enqueueHelp,
		Example: `  tasklog enqueue sendEmail --payload '{"userId":123}' --delay 5s --id welcome-123
  jq -n '{ms:500}' | tasklog enqueue sleep --payload - --wait
  tasklog enqueue --file tasks.ndjson`,
		Args: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("file") {
				return wants(1, 1)(cmd, args)
			}
			var other error
			cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
				if f.Changed && f.Name != "file" && f.Name != "json" {
					other = fmt.Errorf("--file and --%s exclude each other: a line says that itself", f.Name)
				}
			})
			return cmp.Or(other, wants(0, 0)(cmd, args))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("file") {
				return p.enqueueFile(cmd.Context(), file)
			}
			t.Name = args[0]
			var err error
			if cmd.Flags().Changed("payload") {
				if t.Payload, err = p.payload(payload); err != nil {
					return err
				}
			}
			if runAt != "" {
				if t.RunAt, err = time.Parse(time.RFC3339, runAt); err != nil {
					return &events.FieldError{Field: "run-at", Reason: "want a time such as 2026-01-31T08:30:00Z (RFC 3339)"}
				}
			}
			if err := noZero(cmd.Flags(), "max-attempts", "timeout"); err != nil {
				return err
			}
			return p.enqueue(cmd.Context(), t, wait)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&file, "file", "", "ask for a task with each line of an NDJSON file; - reads the standard input")
	flags.StringVar(&payload, "payload", "", "what the handler gets, as JSON; - reads it from the standard input")
	flags.DurationVar(&t.Delay, "delay", 0, "how long to wait at least, such as 5s")
	flags.StringVar(&runAt, "run-at", "", "when to run at the earliest (RFC 3339), instead of --delay")
	flags.IntVar(&t.Priority, "priority", 0, "0 to 2097152; lower runs first")
	flags.StringVar(&t.ID, "id", "", "id of the task: asking twice with one id makes one task")
	flags.StringVar(&t.Queue, "queue", events.DefaultQueue, "where the task waits")
	flags.IntVar(&t.MaxAttempts, "max-attempts", events.DefaultMaxAttempts, "how many attempts may fail before the task does")
	flags.Var(backoffFlag{&t.Backoff}, "backoff", "how long to wait between attempts: fixed:5s, or exponential:1s..1m (default exponential:1s..1h)")
	flags.DurationVar(&t.Timeout, "timeout", 0, "end an attempt that takes longer (default: as the worker says)")
	flags.BoolVar(&wait, "wait", false, "return when the task is over")
	return cmd
}

// maxStdin bounds what is read of a payload; the client knows the real limit.
const maxStdin = 64 << 20

func (p *program) payload(text string) (json.RawMessage, error) {
	data := []byte(text)
	if text == "-" {
		var err error
		if data, err = io.ReadAll(io.LimitReader(p.stdin, maxStdin)); err != nil {
			return nil, fmt.Errorf("read the payload: %w", err)
		}
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, &events.FieldError{Field: "payload", Reason: "is not JSON: " + err.Error()}
	}
	return raw, nil
}

func (p *program) enqueue(ctx context.Context, t client.Task, wait bool) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	c, shut, err := p.clientOf(log, shut)
	if err != nil {
		return err
	}
	defer shut()
	r, err := c.Enqueue(ctx, t)
	if eventlog.Closed(err) {
		return fmt.Errorf("%w\nNothing was taken", err)
	}
	if eventlog.Unavailable(err) && !eventlog.Full(err) {
		return fmt.Errorf("%w\nThe task may have been taken. To ask again without making a second one: --id %s", err, r.ID)
	}
	if err != nil {
		return err
	}
	out := enqueued{Receipt: receiptOf(r)}
	if !wait {
		return p.print(out, func(w io.Writer) {
			if r.Duplicate {
				say(w, "%s is there already, and is %s: nothing was appended", clean(r.ID), r.State)
				return
			}
			say(w, "%s is %s in queue %s, due %s", clean(r.ID), r.State, clean(r.Queue), out.DueAt)
		})
	}
	waiting, over := context.WithCancel(ctx)
	said := make(chan struct{})
	go func() {
		defer close(said)
		p.sayWhatItWaitsFor(waiting, log, r.ID)
	}()
	o, err := c.Wait(ctx, r.ID)
	over()
	<-said
	if err != nil {
		return fmt.Errorf("%w\nThe task itself goes on: tasklog task %s", err, r.ID)
	}
	out.State, out.Attempt, out.EndedAt = o.Task.State, o.Task.Attempt, wire.Stamp(o.Event.Ms)
	out.Result, out.Error, out.Reason = o.Result, o.Error, o.Reason
	err = p.print(out, func(w io.Writer) {
		if r.Duplicate {
			say(w, "%s is there already: nothing was appended", clean(r.ID))
		}
		sayOutcome(w, out)
	})
	if err != nil {
		return err
	}
	if out.State != events.StateCompleted {
		return errSilent
	}
	return nil
}

// receiptOf is the answer of the HTTP API.
func receiptOf(r client.Receipt) wire.Receipt {
	return wire.Receipt{
		TaskID: r.ID, Queue: r.Queue, State: r.State, DueAt: wire.Stamp(r.DueAt.UnixMilli()),
		EventID: r.Event.String(), Duplicate: r.Duplicate,
	}
}

func sayOutcome(w io.Writer, o enqueued) {
	switch {
	case o.State == events.StateCompleted && o.Result != nil:
		say(w, "%s is completed: %s", clean(o.TaskID), clean(string(o.Result)))
	case o.State == events.StateFailed:
		say(w, "%s is failed in attempt %d (%s): %s", clean(o.TaskID), o.Attempt, o.Reason, lines(o.Error))
	case o.Error != "":
		say(w, "%s is %s: %s", clean(o.TaskID), o.State, lines(o.Error))
	default:
		say(w, "%s is %s", clean(o.TaskID), o.State)
	}
}
