package dashboard_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/services/api/dashboard"
)

func TestAgesAreToldInOneUnit(t *testing.T) {
	now := time.UnixMilli(1_764_000_000_000)
	for d, want := range map[time.Duration]string{
		300 * time.Millisecond:  "now",
		2500 * time.Millisecond: "2.5 s ago",
		59 * time.Second:        "59 s ago",
		61 * time.Minute:        "1 h ago",
		47 * time.Hour:          "47 h ago",
		72 * time.Hour:          "3 d ago",
		-90 * time.Second:       "in 1 min",
	} {
		if got := (dashboard.Base{Now: now}).Age(now.Add(-d).UnixMilli()); got != want {
			t.Errorf("%s ago is told as %q, want %q", d, got, want)
		}
	}
	if got := (dashboard.Base{}).Age(now.UnixMilli()); got != "" {
		t.Errorf("without a clock the age is %q, want none", got)
	}
}

// pages is one of each page, with nothing in it that could be left out.
func pages() []dashboard.Page {
	return []dashboard.Page{
		dashboard.Overview{},
		dashboard.Overview{All: 1, Queues: []dashboard.Queue{{}}, Missed: 3},
		dashboard.TasksPage{},
		dashboard.TasksPage{Tasks: []events.Task{{}}},
		dashboard.TaskPage{},
		dashboard.NoticePage{},
	}
}

func TestEveryPageRendersWhatIsEmpty(t *testing.T) {
	p, err := dashboard.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages() {
		var b strings.Builder
		if err := p.Render(&b, page); err != nil {
			t.Errorf("%T: %v", page, err)
		}
		if o, ok := page.(dashboard.Overview); ok && strings.Contains(b.String(), "3 entries were removed") != (o.Missed > 0) {
			t.Error("the page does not say what its counts miss")
		}
	}
}

// The script puts a part in the place of the element of that id: the page must have it, whatever it shows.
func TestEveryLivePartIsOneElementOfItsPage(t *testing.T) {
	p, err := dashboard.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages() {
		var b strings.Builder
		if err := p.Render(&b, page); err != nil {
			t.Fatalf("%T: %v", page, err)
		}
		parts, err := p.Parts(page)
		if err != nil {
			t.Fatalf("%T: %v", page, err)
		}
		for _, part := range parts {
			if !strings.Contains(b.String(), part.HTML) {
				t.Errorf("%T: the page is without its part %s", page, part.ID)
			}
			if head, _, _ := strings.Cut(part.HTML, ">"); !strings.HasPrefix(head, "<") || !strings.Contains(head, `id="`+part.ID+`"`) {
				t.Errorf("%T: the part %s begins with %q", page, part.ID, head)
			}
		}
	}
}

func TestQueuesAreChosenAndOrderedWorstFirst(t *testing.T) {
	all := []dashboard.Queue{
		{Name: "mail", Counts: queues.Counts{events.StateFailed: 2, events.StateWaiting: 9}, Totals: queues.Totals{Completed: 98, Failed: 2}},
		{Name: "Archive", Counts: queues.Counts{events.StateWaiting: 5}, Totals: queues.Totals{Completed: 10}},
		{Name: "bulk-mail", Counts: queues.Counts{events.StateFailed: 1}, Totals: queues.Totals{Failed: 1}},
	}
	for want, f := range map[string]dashboard.QueueFilter{
		"Archive bulk-mail mail":  {},
		"mail bulk-mail Archive":  {Sort: "failed"},
		"bulk-mail Archive mail ": {Sort: "waiting", Up: true},
		"bulk-mail mail Archive":  {Sort: "failing"},
		"bulk-mail mail":          {Name: "MAIL"},
		"mail bulk-mail":          {Failing: true, Sort: "waiting"},
		"":                        {Name: "none"},
		"Archive bulk-mail  mail": {Sort: "no such figure"},
	} {
		var got []string
		for _, q := range f.Choose(all) {
			got = append(got, q.Name)
		}
		if strings.Join(got, " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%+v chooses %v, want %s", f, got, want)
		}
	}
}

func TestLinksChangeWhatTheyNameAndBeginAListAnew(t *testing.T) {
	b := dashboard.Base{URL: &url.URL{Path: "/admin/tasks", RawQuery: "state=failed&queue=a%26b&cursor=x"}}
	if got, want := b.With("state", "", "name", "n?"), "/admin/tasks?name=n%3F&queue=a%26b"; got != want {
		t.Errorf("the link is %s, want %s", got, want)
	}
	if got := b.With("state", "", "queue", ""); got != "/admin/tasks" {
		t.Errorf("the link to all is %s", got)
	}
}

func TestOnlyAssetsAreServed(t *testing.T) {
	p, err := dashboard.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"style.css", "live.js", "keys.js", "times.js", "icon.svg"} {
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
