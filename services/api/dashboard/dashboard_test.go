package dashboard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/dashboard"
)

func TestAgesAreToldInOneUnit(t *testing.T) {
	now := time.UnixMilli(1_764_000_000_000)
	for d, want := range map[time.Duration]string{
		300 * time.Millisecond: "now",
		59 * time.Second:       "59 s",
		61 * time.Minute:       "1 h",
		47 * time.Hour:         "47 h",
		72 * time.Hour:         "3 d",
		-90 * time.Second:      "in 1 min",
	} {
		if got := (dashboard.Base{Now: now}).Age(now.Add(-d).UnixMilli()); got != want {
			t.Errorf("%s ago is told as %q, want %q", d, got, want)
		}
	}
	if got := (dashboard.Base{}).Age(now.UnixMilli()); got != "" {
		t.Errorf("without a clock the age is %q, want none", got)
	}
}

func TestEveryPageRendersWhatIsEmpty(t *testing.T) {
	p, err := dashboard.New()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := p.Queues(&b, dashboard.QueuesPage{Queues: []dashboard.Queue{{}}, Tasks: []events.Task{{}}, Missed: 3}); err != nil {
		t.Errorf("queues: %v", err)
	}
	if !strings.Contains(b.String(), "3 entries were removed") {
		t.Error("the page does not say what its counts miss")
	}
	if err := p.Queues(&b, dashboard.QueuesPage{}); err != nil {
		t.Errorf("queues: %v", err)
	}
	if err := p.Task(&b, dashboard.TaskPage{}); err != nil {
		t.Errorf("task: %v", err)
	}
	if err := p.Notice(&b, dashboard.NoticePage{}); err != nil {
		t.Errorf("notice: %v", err)
	}
}

func TestOnlyAssetsAreServed(t *testing.T) {
	p, err := dashboard.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"style.css", "live.js", "icon.svg"} {
		if data, mediaType, ok := p.Asset(name); !ok || len(data) == 0 || mediaType == "" {
			t.Errorf("%s: %d bytes, %q, %t", name, len(data), mediaType, ok)
		}
	}
	for _, name := range []string{"", ".", "..", "/", "../templates/task.html", "task.html", "dashboard.go", "none.css"} {
		if _, _, ok := p.Asset(name); ok {
			t.Errorf("%q is served", name)
		}
	}
}
