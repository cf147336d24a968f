package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/projections/asof"
	"github.com/tasklog/tasklog/services/api/wire"
)

const instantHelp = `An instant is a time such as 2026-11-25T14:03:07Z, so long ago such as -15m, -36h or -7d, now, or an
entry id: then everything up to and including that entry had happened.`

const atHelp = `Show what was true at an instant: the queues (which is what it does without a word more), the tasks
with their newest change first, or one task with its history up to then.

` + instantHelp + `

The log is read from the nearest snapshot that a projector made before the instant; without one from its
beginning, some hundred thousand events a second. Every task that was under way is told; of those that
were over, at least the newest thousand of each queue and state. Failed and retrying tasks tell the
first line of their error, as long as Redis has it in its log.`

// atOptions choose what is told.
type atOptions struct {
	state, queue, name string
	limit              int
}

func (p *program) atCmd() *cobra.Command {
	var o atOptions
	cmd := p.withJSON(&cobra.Command{
		Use: "at INSTANT [queues|tasks|task ID]", Short: "Show what was true at an instant", Long: atHelp,
		Args: wants(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error { return p.at(cmd.Context(), args, o) },
	})
	flags := cmd.Flags()
	flags.StringVar(&o.state, "state", "", "only tasks in this state")
	flags.StringVar(&o.queue, "queue", "", "only tasks of this queue")
	flags.StringVar(&o.name, "name", "", "only tasks of this name")
	flags.IntVar(&o.limit, "limit", 50, "how many tasks are told")
	return cmd
}

// ago is a relative instant, or meant to be one, which looks like a flag.
var ago = regexp.MustCompile(`^-[0-9]`)

// instants makes arguments of relative instants, which cobra would take for flags: "-15m" becomes "now-15m". The
// other commands get their arguments as they are, and so does --limit its number.
func instants(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil || cmd.Name() != "at" && cmd.Name() != "diff" {
		return args
	}
	args = slices.Clone(args)
	for i, a := range args {
		if ago.MatchString(a) && (i == 0 || args[i-1] != "--limit") {
			args[i] = "now" + a
		}
	}
	return args
}

func (p *program) at(ctx context.Context, args []string, o atOptions) error {
	what := "queues"
	if len(args) > 1 {
		what = args[1]
	}
	switch {
	case what != "queues" && what != "tasks" && what != "task":
		return &usageError{fmt.Errorf("%q: want queues, tasks or task ID", what)}
	case what == "task" && len(args) != 3:
		return &usageError{errors.New("task: want the id of one")}
	case what != "task" && len(args) == 3:
		return &usageError{fmt.Errorf("%q: %s takes no argument", args[2], what)}
	case o.state != "" && !slices.Contains(events.States, events.State(o.state)):
		return &usageError{fmt.Errorf("state %q: want one of %v", o.state, events.States)}
	case what != "tasks" && (o.state != "" || o.queue != "" || o.name != ""):
		return &usageError{fmt.Errorf("--state, --queue and --name choose among tasks: want \"tasklog at %s tasks\" with them", args[0])}
	case o.limit < 1:
		return &usageError{fmt.Errorf("limit: %d is not at least 1", o.limit)}
	}
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	until, err := instant(ctx, log, args[0])
	if err != nil {
		return err
	}
	if what == "task" {
		return p.taskAt(ctx, log, args[2], until)
	}
	v, err := past.New(log).At(ctx, until)
	if err != nil {
		return err
	}
	p.warnPast(v)
	if what == "tasks" {
		p.warnQueue(v, o.queue)
		return p.tasksAt(ctx, log, v, until, o)
	}
	out := struct {
		At     string       `json:"at"`
		AsOf   string       `json:"asOf,omitempty"` // entry of the newest event that is counted
		Queues []wire.Queue `json:"queues"`
	}{At: events.FormatInstant(until), Queues: wire.QueuesOf(&v.Queues)}
	if !v.Last.IsZero() {
		out.AsOf = v.Last.String()
	}
	return p.print(out, func(w io.Writer) {
		if sayPast(w, v, until) {
			sayQueues(w, out.Queues)
		}
	})
}

// instant reads an instant that is not in the future, by Redis' clock.
func instant(ctx context.Context, log *eventlog.Log, s string) (events.ID, error) {
	now, err := log.Now(ctx)
	if err != nil {
		return events.ID{}, err
	}
	id, err := events.ParseInstant(s, now)
	if err != nil {
		return id, &usageError{err}
	}
	if id.Ms > now.UnixMilli() {
		return id, &usageError{fmt.Errorf("instant %q: it is in the future: Redis' clock says %s", s, wire.Stamp(now.UnixMilli()))}
	}
	return id, nil
}

// warnPast says what is not counted.
func (p *program) warnPast(v *asof.View) {
	if v.Skipped > 0 {
		p.warn(fmt.Errorf("%s skipped", many(v.Skipped, "entry is no event and was", "entries are no events and were")))
	}
	if v.Missed > 0 {
		p.warn(fmt.Errorf("%s removed from the log: what they told is not counted", many(v.Missed, "entry was", "entries were")))
	}
}

// warnQueue says of a queue that somebody chose that nothing was known of it then.
func (p *program) warnQueue(v *asof.View, queue string) {
	if queue != "" && v.Queues.Get(queue) == nil {
		p.warn(fmt.Errorf("queue %s: no task had been asked for in it by then", queue))
	}
}

// covers returns an error when what is left of the log begins after an instant, and warns when older entries
// were removed from it: it is for who reads the log from its beginning.
func (p *program) covers(ctx context.Context, log *eventlog.Log, part eventlog.Partition, until events.ID) error {
	begin := past.Moment{View: new(asof.View)}
	err := past.New(log).NoteGap(ctx, part, &begin, until)
	p.warnPast(begin.View)
	return err
}

// sayPast says as of when people see something, and reports whether there is anything to see.
func sayPast(w io.Writer, v *asof.View, until events.ID) bool {
	if v.Last.IsZero() {
		say(w, "as of %s: nothing had happened", events.FormatInstant(until))
		return false
	}
	say(w, "as of %s, after entry %s of %s\n", wire.Stamp(until.Ms), v.Last, wire.Stamp(v.Last.Ms))
	return true
}

// taskPlace is a task in a list of the past.
type taskPlace struct {
	TaskID    string       `json:"taskId"`
	TaskName  string       `json:"taskName"`
	Queue     string       `json:"queue"`
	State     events.State `json:"state"`
	UpdatedAt string       `json:"updatedAt"`
	EventID   string       `json:"eventId"` // of the event that put it there
	Error     string       `json:"error,omitempty"`
}

func placesOf(ctx context.Context, log *eventlog.Log, list []asof.Place) ([]taskPlace, error) {
	outlines := make([]events.Task, len(list))
	for i, t := range list {
		outlines[i] = t.Outline()
	}
	wrong, err := log.Errors(ctx, outlines)
	if err != nil {
		return nil, err
	}
	out := make([]taskPlace, 0, len(list))
	for _, t := range list {
		out = append(out, taskPlace{t.Task, t.Name, t.Queue, t.State, wire.Stamp(t.At.Ms), t.At.String(), wire.Brief(wrong[t.Task])})
	}
	return out, nil
}

// maxErrorShown is how many characters of an error a line of a table has.
const maxErrorShown = 80

func sayPlaces(w io.Writer, list []taskPlace, more int) {
	t := newTable("task", "name", "queue", "state", "since", "error")
	for _, place := range list {
		t.AppendRow([]any{clean(place.TaskID), clean(place.TaskName), clean(place.Queue), place.State, place.UpdatedAt, brief(place.Error, maxErrorShown)})
	}
	say(w, "%s", t.Render())
	if more > 0 {
		say(w, "and %d more: --limit shows them", more)
	}
}

func (p *program) tasksAt(ctx context.Context, log *eventlog.Log, v *asof.View, until events.ID, o atOptions) error {
	list := v.Places(func(t asof.Place) bool {
		return (o.state == "" || t.State == events.State(o.state)) && (o.queue == "" || t.Queue == o.queue) && (o.name == "" || t.Name == o.name)
	})
	more := max(0, len(list)-o.limit)
	places, err := placesOf(ctx, log, list[:len(list)-more])
	if err != nil {
		return err
	}
	out := struct {
		At    string      `json:"at"`
		Tasks []taskPlace `json:"tasks"`
		More  int         `json:"more"` // that --limit left out
	}{events.FormatInstant(until), places, more}
	return p.print(out, func(w io.Writer) {
		switch {
		case !sayPast(w, v, until):
		case len(list) == 0:
			say(w, "no such tasks")
		default:
			sayPlaces(w, out.Tasks, more)
		}
	})
}

// taskAt shows a task as its events up to an instant tell it.
func (p *program) taskAt(ctx context.Context, log *eventlog.Log, id string, until events.ID) error {
	t, entries, err := past.New(log).Task(ctx, id, until, true)
	if err != nil {
		return err
	}
	var history []events.Event
	for _, e := range entries {
		if e.Err != nil {
			p.warn(e.Err)
			continue
		}
		history = append(history, e.Event)
	}
	d, err := wire.DetailOf(t, history, 0)
	if err != nil {
		return err
	}
	return p.print(d, func(w io.Writer) {
		say(w, "as of %s\n", wire.Stamp(until.Ms))
		sayTask(w, d, history)
	})
}
