// A view of one's own: how often each kind of task was completed, and for how long it ran. It is kept until
// Ctrl-C; with an argument it is printed instead.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/services/view"
)

// Spend has a field for each name of tasks.
type Spend struct{ projections.Fields[Total] }

// Total is what the completed tasks of a name took.
type Total struct{ Runs, Ms int64 }

func (s *Spend) Name() string { return "spend" }

func (s *Spend) Version() int { return 1 }

// Apply counts one event.
func (s *Spend) Apply(e events.Event) {
	if done, ok := e.Data.(events.TaskCompleted); ok {
		s.add(done.Name, Total{1, done.RunMs})
	}
}

// Merge adds what another partition of the log counted.
func (s *Spend) Merge(o *Spend) {
	for name, t := range o.All() {
		s.add(name, *t)
	}
}

func (s *Spend) add(name string, t Total) {
	sum := s.Touch(name)
	sum.Runs += t.Runs
	sum.Ms += t.Ms
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	store, err := view.Connect(ctx, os.Getenv("TASKLOG_REDIS_URL"), view.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if len(os.Args) > 1 {
		err = show(ctx, store)
	} else {
		err = view.Keep(ctx, store, new(Spend)) // until SIGTERM or Ctrl-C
	}
	if err = errors.Join(err, store.Close()); err != nil {
		log.Print(err)
	}
}

func show(ctx context.Context, store *view.Store) error {
	spend := new(Spend)
	fresh, err := view.Read(ctx, store, spend)
	if err != nil {
		return err
	}
	for name, t := range spend.All() {
		fmt.Printf("%s: %d completed\n", name, t.Runs)
	}
	if fresh.Behind > 0 {
		fmt.Printf("%d events are not counted yet\n", fresh.Behind)
	}
	return nil
}
