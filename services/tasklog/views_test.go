package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/services/view"
)

// kinds is a view of ours: how many tasks of each name were asked for.
type kinds struct{ projections.Fields[int] }

func (*kinds) Name() string { return "kinds" }
func (*kinds) Version() int { return 3 }

func (k *kinds) Merge(o *kinds) {
	for name, n := range o.All() {
		*k.Touch(name) += *n
	}
}

func (k *kinds) Apply(e events.Event) {
	if d, ok := e.Data.(events.TaskRequested); ok {
		*k.Touch(d.Name)++
	}
}

// A program keeps a view as the user that is there for it, who may do nothing else; people see how far it is, and
// remove it when no program keeps it any more.
func TestViewsOfOnesOwnAreKeptAsTheirUserListedAndRemoved(t *testing.T) {
	r := buildRoles(t)
	log := openLog(t, r.redis.URL())
	for _, id := range []string{"a", "b"} {
		if _, err := log.Request(t.Context(), eventlog.Request{
			Task: id, Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1},
		}); err != nil {
			t.Fatal(err)
		}
	}
	last, err := log.Last(t.Context(), log.Partitions()[0])
	if err != nil {
		t.Fatal(err)
	}
	run := func(user string, args ...string) (string, error) {
		return tasklog(t, t.TempDir(), []string{"TASKLOG_REDIS_URL=" + r.url(user)}, args...)
	}
	list := func() []viewLine {
		t.Helper()
		out, err := run("readonly", "views", "--json")
		var answer struct {
			Views []viewLine `json:"views"`
		}
		if err != nil || json.Unmarshal([]byte(out), &answer) != nil {
			t.Fatalf("views: %v: %s", err, out)
		}
		return answer.Views
	}
	isOurs := func(v viewLine) bool { return v.Name == "kinds" }

	store, err := view.Connect(t.Context(), r.url("viewer"), view.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- view.Keep(ctx, store, new(kinds)) }()
	defer func() {
		stop()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	for deadline := time.Now().Add(30 * time.Second); ; {
		fresh, err := view.Read(t.Context(), store, new(kinds))
		if err == nil && fresh.Version == 3 && fresh.Behind == 0 {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the view is not kept: %+v, %v", fresh, err)
		}
	}
	lines := list()
	i := slices.IndexFunc(lines, isOurs)
	if len(lines) < 5 || i < 0 || !lines[i].Own || !lines[i].Served || lines[i].Version != 3 || lines[i].Behind != 0 ||
		!slices.Equal(lines[i].Checkpoints, []string{last.String()}) {
		t.Errorf("%+v, want the views that every log has and ours at %s", lines, last)
	}
	if q := slices.IndexFunc(lines, func(v viewLine) bool { return v.Name == "queues" }); q < 0 || lines[q].Own || lines[q].Behind != 2 {
		t.Errorf("%+v: queues is not two entries behind", lines)
	}
	if out, err := run("readonly", "views"); err != nil || !strings.Contains(out, "kinds") || !strings.Contains(out, "own") {
		t.Errorf("views: %v: %s", err, out)
	}

	fails := func(code int, args ...string) {
		t.Helper()
		out, err := run("viewer", args...)
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != code { //nolint:errorlint // it is what exec returns
			t.Errorf("%v: %v, want exit code %d: %s", args, err, code, out)
		}
	}
	fails(exitRefused, "views", "remove", "kinds")
	fails(exitUsage, "views", "remove", "queues")
	fails(exitUsage, "views", "remove", "kinds", "--version", "3")
	fails(exitNotFound, "views", "remove", "kinds", "--version", "4")
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the program ends with %v", err)
	}
	if out, err := run("viewer", "views", "remove", "kinds"); err != nil || out != "removed view kinds\n" {
		t.Errorf("remove: %v: %s", err, out)
	}
	if slices.ContainsFunc(list(), isOurs) {
		t.Error("it is still there")
	}
	fails(exitNotFound, "views", "remove", "kinds")
	if denied := r.denied(); len(denied) != 0 {
		t.Errorf("Redis refused:\n%s", strings.Join(denied, "\n"))
	}
}
