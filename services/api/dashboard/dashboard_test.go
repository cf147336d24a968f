package dashboard_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/names"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/throughput"
	"github.com/tasklog/tasklog/services/api/dashboard"
	"github.com/tasklog/tasklog/services/api/wire"
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

// week is charts of seven days in which something happened in a few hours.
func week() dashboard.Charts {
	s := throughput.Series{Step: time.Hour}
	for i := range 168 {
		slot := throughput.Slot{At: time.UnixMilli(1_764_000_000_000).Add(time.Duration(i) * time.Hour)}
		if i%50 < 3 {
			slot.Requested, slot.Completed = 7200, 3600
			slot.Wait.Add(250)
		}
		s.Slots = append(s.Slots, slot)
	}
	return dashboard.Charts{Window: "7d", Series: s}
}

// pages is one of each page, with nothing in it that could be left out.
func pages() []dashboard.Page {
	return []dashboard.Page{
		dashboard.Overview{},
		dashboard.Overview{All: 1, Queues: []dashboard.Queue{{}}, Missed: 3, Workers: &dashboard.WorkersPage{}, System: &wire.System{Log: []wire.Partition{{Readers: []wire.Reader{{}}}}}},
		dashboard.QueuePage{},
		dashboard.QueuePage{Charts: week(), Queue: dashboard.Queue{Name: "q", Counts: queues.Counts{events.StateWaiting: 1}}, Names: []dashboard.Name{{}}},
		dashboard.TasksPage{},
		dashboard.TasksPage{Tasks: []events.Task{{}}, Search: &wire.Search{}},
		dashboard.EventsPage{},
		dashboard.WorkersPage{},
		dashboard.WorkersPage{Workers: []wire.Worker{{}}},
		dashboard.PastPage{},
		dashboard.PastPage{Queues: []wire.Queue{{}}},
		dashboard.PastPage{Present: true, Queues: []wire.Queue{{}}},
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
		if o, ok := page.(dashboard.Overview); ok && strings.Contains(b.String(), "3 entries were removed from the log") != (o.Missed > 0) {
			t.Error("the page does not say what its counts miss")
		}
	}
}

func TestPagesCountOneAsOneAndSayWhatTheyLeaveOut(t *testing.T) {
	p, err := dashboard.New()
	if err != nil {
		t.Fatal(err)
	}
	entries := func(n int64) *wire.System {
		return &wire.System{Log: []wire.Partition{{Readers: []wire.Reader{{Entries: &n}}}}}
	}
	workers := func(running int64) *dashboard.WorkersPage {
		return &dashboard.WorkersPage{Workers: []wire.Worker{{Running: running, Tasks: make([]wire.Running, min(running, 4))}}}
	}
	for want, page := range map[string]dashboard.Page{
		"1 of 1 queue; 1 entry was removed":      dashboard.Overview{All: 1, Queues: []dashboard.Queue{{}}, Missed: 1},
		"2 of 2 queues; 2 entries were removed":  dashboard.Overview{All: 2, Queues: []dashboard.Queue{{}, {}}, Missed: 2},
		"None of 1 queue fits":                   dashboard.Overview{All: 1},
		", 1 entry</span>":                       dashboard.Overview{System: entries(1)},
		", 0 entries</span>":                     dashboard.Overview{System: entries(0)},
		`</li><li class="quiet">and 1 more</li>`: dashboard.Overview{Workers: workers(4)},
		"<li class=\"quiet\">and 2 more</li>":    dashboard.WorkersPage{Workers: workers(6).Workers},
		"1 task was looked through":              dashboard.TasksPage{Search: &wire.Search{Tasks: 1}},
		" 1 entry is in the log no more":         dashboard.PastPage{Missed: 1},
	} {
		var b strings.Builder
		if err := p.Render(&b, page); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%T does not say %q; %v", page, want, err)
		}
	}
	for _, page := range []dashboard.Page{dashboard.Overview{Workers: workers(3)}, dashboard.WorkersPage{Workers: workers(4).Workers}} {
		var b strings.Builder
		if err := p.Render(&b, page); err != nil || strings.Contains(b.String(), " more</li>") {
			t.Errorf("%T leaves out a task that it shows; %v", page, err)
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
		{Name: "mail", Counts: queues.Counts{events.StateFailed: 2, events.StateWaiting: 9}, Oldest: 2000, Recent: []queues.Minute{{Completed: 98, Failed: 2}}},
		{Name: "Archive", Counts: queues.Counts{events.StateWaiting: 5}, Oldest: 1000, Recent: []queues.Minute{{Completed: 10}, {}}},
		{Name: "bulk-mail", Counts: queues.Counts{events.StateFailed: 1}, Recent: []queues.Minute{{Requested: 7, Retried: 1}, {}}},
	}
	for want, f := range map[string]dashboard.QueueFilter{
		"Archive bulk-mail mail":  {},
		"mail bulk-mail Archive":  {Sort: "failed"},
		"bulk-mail Archive mail ": {Sort: "waiting", Up: true},
		"bulk-mail mail Archive":  {Sort: "failing"},
		"Archive mail bulk-mail":  {Sort: "oldest"},
		"bulk-mail Archive mail":  {Sort: "in"},
		"Archive bulk-mail mail ": {Sort: "out"}, // the minute that is under way has no rate
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

func TestNamesAreOrderedWorstFirstAndWhatHasNoNameIsLast(t *testing.T) {
	of := func(name string, requested, completed, retried int64) names.Name {
		return names.Name{Name: name, Counts: throughput.Counts{Requested: requested, Completed: completed, Retried: retried}}
	}
	var got []string
	for _, n := range dashboard.WorstFirst([]names.Name{of("few", 1, 1, 0), of("many", 9, 9, 0), of("half", 2, 1, 1), of("", 5, 0, 5), of("tenth", 50, 9, 1)}) {
		got = append(got, n.Name.Name)
	}
	if want := "half tenth many few "; strings.Join(got, " ") != want {
		t.Errorf("the order is %q, want %q", got, want)
	}
	if n := (dashboard.Name{Name: of("n", 1, 0, 0)}); n.Failing() != 0 || n.RunTime(0.5) != "" {
		t.Errorf("a name without an attempt has %g %% failing and a run time of %q", n.Failing(), n.RunTime(0.5))
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

func TestChartsAreStyledByTheStyleSheetAndTellEveryTime(t *testing.T) {
	charts := week().All()
	for _, c := range charts {
		svg, err := c.SVG()
		if err != nil {
			t.Fatal(err)
		}
		if s := string(svg); strings.Contains(s, "style=") || strings.Contains(s, "rgb(") || strings.Contains(s, "fill=") {
			t.Errorf("%s is styled by itself: %s", c.ID, s)
		}
		if n := strings.Count(string(svg), "<title"); n != 167 { // the hour that is under way is none yet
			t.Errorf("%s tells %d times, want 167", c.ID, n)
		}
		if !regexp.MustCompile(`<rect x="4[0-9]{2}`).MatchString(string(svg)) {
			t.Errorf("%s does not reach its right end", c.ID)
		}
		if n := strings.Count(string(svg), "data-like="); n < 2 {
			t.Errorf("%s has %d times at its axis", c.ID, n)
		}
	}
	svg, _ := charts[0].SVG()
	if want := "requested 2, completed 1, failed 0"; !strings.Contains(string(svg), want) {
		t.Errorf("no hour has %q: %s", want, svg)
	}
	if svg, err := (dashboard.Charts{Window: "1h"}).All()[0].SVG(); err != nil || strings.Contains(string(svg), "<svg") {
		t.Errorf("without a slot the chart is %q, %v", svg, err)
	}
}
