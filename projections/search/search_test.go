package search_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/search"
	"github.com/tasklog/tasklog/projections/simulation"
)

var vocabulary = []string{"Anna", "bob", "Käthe", "card declined", "x42"}

// history is a simulated log whose tasks have payloads and errors of a few words, and in which the id of a
// task that was completed may be asked for again.
func history(seed uint64, n int) []events.Event {
	dice := rand.New(rand.NewPCG(seed, 1))
	word := func() string { return vocabulary[dice.IntN(len(vocabulary))] }
	h := simulation.Make(simulation.Config{Seed: seed, Events: n, StepMs: []int64{0, 3, 60_000}[dice.IntN(3)]})
	ids := map[string]string{}
	var free []string
	for i, e := range h.Events {
		if e.Task == "" {
			continue
		}
		switch d := e.Data.(type) {
		case events.TaskRequested:
			ids[e.Task] = e.Task
			if len(free) > 0 && dice.IntN(2) == 0 {
				ids[e.Task], free = free[0], free[1:]
			}
			d.Name = []string{"sendEmail", "charge"}[dice.IntN(2)]
			d.Payload, _ = json.Marshal(map[string]string{"to": word()})
			e.Data = d
		case events.TaskCompleted:
			free = append(free, ids[e.Task])
		case events.TaskFailed:
			d.Error = word()
			e.Data = d
		case events.TaskCancelled:
			d.Reason = word()
			e.Data = d
		default:
		}
		e.Task = ids[e.Task]
		h.Events[i] = e
	}
	return h.Events
}

// known is what is known of a task.
type known struct {
	id    string
	label events.Label
	state events.State
	at    events.ID
	texts [2]string // of its payload and of its newest error
}

// told is every task of a history, the newest first, as it is without an index.
func told(list []events.Event) []known {
	tasks := map[string]known{}
	for _, e := range list {
		if e.Task == "" {
			continue
		}
		k := tasks[e.Task]
		switch d := e.Data.(type) {
		case events.TaskRequested:
			k = known{label: d.Label, texts: [2]string{string(d.Payload)}}
		case events.TaskFailed:
			k.texts[1] = d.Error
		case events.TaskCancelled:
			k.texts[1] = d.Reason
		default:
		}
		if k.id = e.Task; k.label == (events.Label{}) {
			k.label = e.Data.About()
		}
		k.at, k.state = e.ID, events.Next(e.Data)
		tasks[e.Task] = k
	}
	var all []known
	for _, k := range tasks {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b known) int { return b.at.Compare(a.at) })
	return all
}

func (k known) chosen(q search.Query) bool {
	for _, w := range q.Words {
		if !slices.ContainsFunc([]string{k.id, k.label.Name, k.texts[0], k.texts[1]}, func(s string) bool {
			return strings.Contains(strings.ToLower(s), w)
		}) {
			return false
		}
	}
	return (q.State == "" || q.State == k.state) && (q.Queue == "" || q.Queue == k.label.Queue) && (q.Name == "" || q.Name == k.label.Name) &&
		(q.From == 0 || k.at.Ms >= q.From) && (q.Until == 0 || k.at.Ms < q.Until)
}

// query draws a query that may choose something of a history.
func query(t *rapid.T, list []events.Event) (q search.Query) {
	q.Words = search.Words(rapid.SampledFrom([]string{"", "ANNA", "käthe", "card", "bob charge", "x42 anna", "task-1", "nothing", "\"to\":\"bob\""}).Draw(t, "words"))
	q.State = rapid.SampledFrom(append([]events.State{"", "", ""}, events.States...)).Draw(t, "state")
	q.Queue = rapid.SampledFrom([]string{"", "", "queue: 1"}).Draw(t, "queue")
	q.Name = rapid.SampledFrom([]string{"", "", "charge"}).Draw(t, "name")
	for _, ms := range []*int64{&q.From, &q.Until} {
		if rapid.Bool().Draw(t, "bounded") {
			*ms = list[rapid.IntRange(0, len(list)-1).Draw(t, "at")].ID.Ms
		}
	}
	return q
}

func TestAnIndexThatGrowsBothWaysFindsWhatTheEventsTell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := history(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 500).Draw(t, "events"))
		first := rapid.IntRange(0, len(list)-1).Draw(t, "first")
		begun := rapid.IntRange(first, len(list)).Draw(t, "begun")
		x := search.New(1<<30, 1<<62)
		for back, on := begun-1, begun; back >= first || on < len(list); {
			if back >= first && (on == len(list) || rapid.Bool().Draw(t, "back")) {
				if !x.Wants() {
					t.Fatal("an index with room wants no more")
				}
				x.Before(list[back])
				back--
			} else {
				x.Apply(list[on])
				on++
			}
		}
		if c := x.Covers(); c.Since != list[first].ID || c.Newest != list[len(list)-1].ID {
			t.Errorf("it covers %s to %s, want %s to %s", c.Since, c.Newest, list[first].ID, list[len(list)-1].ID)
		}
		q := query(t, list)
		var want []search.Found
		for _, k := range told(list[first:]) {
			if k.chosen(q) {
				want = append(want, search.Found{Task: k.id, At: k.at})
			}
		}
		var got []search.Found
		for before := events.MaxID; ; { // in pages
			n := rapid.IntRange(1, 7).Draw(t, "page")
			page := 0
			for f := range x.Find(q, before) {
				got, before = append(got, f), f.At
				if page++; page == n {
					break
				}
			}
			if page < n {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v finds %v, want %v", q, got, want)
		}
	})
}

func TestWhatTheBoundsLeaveIsTheNewestAndRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := history(rapid.Uint64().Draw(t, "seed"), 400)
		limit := rapid.IntRange(300, 20_000).Draw(t, "limit")
		keep := time.Duration(rapid.Int64Range(1, 20_000_000).Draw(t, "keep ms")) * time.Millisecond
		begun := rapid.IntRange(0, len(list)).Draw(t, "begun")
		x := search.New(limit, keep)
		for back, on := begun-1, begun; back >= 0 || on < len(list); {
			if back >= 0 && (on == len(list) || rapid.Bool().Draw(t, "back")) {
				x.Before(list[back])
				back--
			} else {
				x.Apply(list[on])
				on++
			}
		}
		c := x.Covers()
		if most := 600; c.Bytes > limit+most {
			t.Errorf("%d bytes are held, want %d", c.Bytes, limit)
		}
		all := told(list)
		n := 0
		for f := range x.Find(search.Query{}, events.MaxID) {
			if n == len(all) || all[n].id != f.Task || all[n].at != f.At {
				t.Fatalf("task %d is %+v", n, f)
			}
			states := 0
			for range x.Find(search.Query{State: all[n].state, From: f.At.Ms, Until: f.At.Ms + 1}, f.At.Next()) {
				states++
				break
			}
			if states == 0 {
				t.Errorf("task %s is not %s", f.Task, all[n].state)
			}
			n++
		}
		if n != c.Tasks {
			t.Errorf("%d tasks are found, and %d are there", n, c.Tasks)
		}
		if n < len(all) && all[n].at.Compare(c.Since) >= 0 {
			t.Errorf("task %s of %s is missing, and all since %s are to be there", all[n].id, all[n].at, c.Since)
		}
		if c.Bytes < limit/2 && n < len(all) && all[n].at.Ms >= list[len(list)-1].ID.Ms-keep.Milliseconds() && begun == len(list) {
			t.Errorf("task %s is missing, and there was room", all[n].id)
		}
	})
}

// requested is an index of one task.
func requested(id, payload string) *search.Index {
	x := search.New(1<<20, time.Hour)
	x.Apply(events.Event{ID: events.ID{Ms: 1}, Task: id, Data: events.TaskRequested{
		Label: events.Label{Queue: "q", Name: "Send Email"}, Definition: events.Definition{Payload: []byte(payload)},
	}})
	return x
}

func finds(x *search.Index, words string) bool {
	for range x.Find(search.Query{Words: search.Words(words)}, events.MaxID) {
		return true
	}
	return false
}

func TestPayloadsAreSearchedAsPeopleReadThem(t *testing.T) {
	for _, c := range []struct {
		payload, words string
		want           bool
	}{
		{`{"userId": 123}`, `userid`, true},
		{`{"userId": 123}`, `"userId":123`, true},
		{"{\n  \"userId\" :\t123 }", `{"userid":123}`, true},
		{`{"userId": 123}`, `"userId": 123`, true},
		{`{"a":"J\u00fcrgen M\u00DCLLER"}`, `müller jürgen`, true},
		{`{"a":"\ud83d\ude80"}`, `🚀`, true},
		{`{"a":"\ud83d alone"}`, `alone`, true},
		{`{"a":"C:\\dir\/file"}`, `c:\dir/file`, true},
		{`{"a":"say \"hi\""}`, `"hi"`, true},
		{`{"a":"one\ntwo"}`, `one two`, true},
		{`{"a":"one\ntwo"}`, `onentwo`, false},
		{`{"a":"one  two"}`, `two one`, true},
		{`"plain"`, `PLAIN`, true},
		{`null`, `send mail`, true},
		{`null`, `sendemail`, false},
		{``, `id-7`, true},
		{`{"a":"` + strings.Repeat("x", search.MaxText) + `late"}`, `late`, false},
		{`{"a":"` + strings.Repeat("x", search.MaxText-20) + `early"}`, `early`, true},
		{strings.Repeat(" ", 5000) + `"far"`, `far`, true},
	} {
		if got := finds(requested("ID-7", c.payload), c.words); got != c.want {
			t.Errorf("%.60q in %.60q: %v", c.words, c.payload, got)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{`{"a":"\u00fc\ud83d\ude80"}`, `"\`, `"\u`, `"\ud83d\u12`, `\\\"`, "\xff\"\\\xff"} {
		f.Add([]byte(s), "a")
	}
	f.Fuzz(func(t *testing.T, payload []byte, words string) {
		x := requested("task", string(payload))
		if c := x.Covers(); c.Bytes > 1000+3*search.MaxText {
			t.Errorf("a payload of %d bytes takes %d", len(payload), c.Bytes)
		}
		if !finds(x, "task email") {
			t.Error("the task is not found by its id and name")
		}
		finds(x, words)
	})
}

func TestTheBytesOfAnIndexAreThoseThatItTakes(t *testing.T) {
	before, x := heap(), search.New(1<<30, 1<<50)
	fill(x, 50_000)
	took, said := heap()-before, x.Covers().Bytes
	if ratio := float64(took) / float64(said); ratio < 0.6 || ratio > 1.25 {
		t.Errorf("50 000 tasks take %d bytes, and the index says %d", took, said)
	}
	runtime.KeepAlive(x)
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// fill lets n tasks live; every hundredth fails.
func fill(x *search.Index, n int) {
	label := events.Label{Queue: "default", Name: "sendEmail"}
	for i := range n {
		id := fmt.Sprintf("0199a1b2-7c3d-7e4f-8a5b-%012d", i)
		add := func(step int64, d events.Data) {
			x.Apply(events.Event{ID: events.ID{Ms: 1_764_000_000_000 + int64(i)*10 + step}, Task: id, Data: d})
		}
		payload := fmt.Sprintf(`{"userId":%d,"template":"welcome","to":"user-%d@example.com","locale":"en"}`, i, i)
		add(0, events.TaskRequested{Label: label, Definition: events.Definition{Payload: []byte(payload)}})
		add(1, events.TaskDue{Label: label, From: events.StateWaiting})
		add(2, events.TaskStarted{Label: label, Worker: "w"})
		if i%100 == 0 {
			add(3, events.TaskFailed{Label: label, Error: fmt.Sprintf("smtp: 550 mailbox %d unavailable", i)})
		} else {
			add(3, events.TaskCompleted{Label: label})
		}
	}
}

// BenchmarkApply folds the four events of b.N tasks.
func BenchmarkApply(b *testing.B) {
	fill(search.New(64<<20, 1<<50), b.N)
}

// BenchmarkFind finds a page among half a million tasks:
//
//	go test ./projections/search -run xxx -bench Find
func BenchmarkFind(b *testing.B) {
	const n = 500_000
	before, x := heap(), search.New(1<<30, 1<<50)
	fill(x, n)
	mb := float64(heap()-before) / 1e6
	for _, c := range []struct {
		what string
		q    search.Query
	}{
		{"the newest", search.Query{}},
		{"nothing", search.Query{Words: search.Words("no such text anywhere")}},
		{"the oldest", search.Query{Words: search.Words("user-0@example.com")}},
		{"failed", search.Query{Words: search.Words("mailbox"), State: events.StateFailed}},
		{"two words", search.Query{Words: search.Words("example.com 499")}},
	} {
		b.Run(c.what, func(b *testing.B) {
			for b.Loop() {
				found := 0
				for range x.Find(c.q, events.MaxID) {
					if found++; found == 50 {
						break
					}
				}
			}
			b.ReportMetric(mb, "MB")
			b.ReportMetric(float64(x.Covers().Bytes)/1e6, "MB-said")
		})
	}
}
