package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api"
)

func TestASeriesTellsWhatHappenedInAWindow(t *testing.T) {
	h := build(t, api.Config{}, 1)
	type spread struct{ Count, P95 float64 }
	type series struct {
		Queue            string
		WindowMs, StepMs int64
		Slots            []struct {
			At                                    time.Time
			Requested, Completed, Failed, Retried int64
			Wait, Run, Late                       spread
		}
	}
	var got series
	read := func(query string) {
		t.Helper()
		got = series{}
		parse(t, h.must(http.StatusOK, h.get("/api/throughput"+query)).body, &got)
	}
	if read(""); got.WindowMs != 3_600_000 || got.StepMs != 60_000 || len(got.Slots) != 60 {
		t.Errorf("without views there are %d slots of %d ms, want 60 empty ones of a minute", len(got.Slots), got.StepMs)
	}
	h.project()
	for i := range 3 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","queue":"q%d","customJobId":"t%d"}`, i%2, i)))
	}
	a := h.start("q1", "t1")
	if _, err := h.log.Fail(t.Context(), a, 1500*time.Millisecond, events.ReasonError, "no", nil); err != nil {
		t.Fatal(err)
	}
	sum := func() (requested, failed int64, run float64) {
		for _, s := range got.Slots {
			requested, failed, run = requested+s.Requested, failed+s.Failed, run+s.Run.Count
		}
		return requested, failed, run
	}
	h.until("the failure is counted", func() bool {
		read("")
		_, failed, _ := sum()
		return failed == 1
	})
	for query, want := range map[string]int64{"?window=15m": 3, "?window=7d&queue=": 3, "?queue=q0&window=6h": 2, "?queue=q1&window=24h": 1, "?queue=none": 0} {
		read(query)
		if requested, _, _ := sum(); requested != want {
			t.Errorf("%s: %d requested, want %d", query, requested, want)
		}
	}
	read("?queue=q1")
	last := got.Slots[len(got.Slots)-1]
	for _, s := range got.Slots { // a minute may have ended since
		if s.Run.Count > 0 {
			last = s
		}
	}
	if last.Run.P95 < 1400 || last.Run.P95 > 1600 || last.Wait.Count != 1 || last.Late.Count != 0 || last.At.Second() != 0 {
		t.Errorf("the slot of the failure is %+v, want a run of 1500 ms and a wait", last)
	}
	for query, field := range map[string]string{"window=8d": "window", "window=59s": "window", "window=x": "window", "window=-1d": "window", "wndow=1h": "wndow"} {
		r := h.get("/api/throughput?" + query)
		isProblem(t, r, http.StatusUnprocessableEntity)
		if r.field(t, "field") != field {
			t.Errorf("%s: field %q", query, r.field(t, "field"))
		}
	}
}

func TestTheNamesOfAQueueTellWhatHappenedToTheirTasks(t *testing.T) {
	h := build(t, api.Config{}, 2)
	h.project()
	for i := range 7 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"n%d","queue":"a b/c","customJobId":"t%d"}`, i%2, i)))
	}
	a := h.start("a b/c", "t1")
	if _, err := h.log.Complete(t.Context(), a, 3*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Queue string
		Since time.Time
		Names []struct {
			TaskName             string
			Requested, Completed int
			Run                  struct{ P50 float64 }
		}
	}
	h.until("all is counted", func() bool {
		got.Names = nil
		parse(t, h.must(http.StatusOK, h.get("/api/queues/a%20b%2Fc/names")).body, &got)
		return len(got.Names) == 2 && got.Names[0].Requested+got.Names[1].Requested == 7 && got.Names[1].Completed == 1
	})
	if n := got.Names; got.Queue != "a b/c" || got.Since.IsZero() || n[0].TaskName != "n0" || n[0].Requested != 4 || n[1].Requested != 3 || n[1].Run.P50 < 2800 || n[1].Run.P50 > 3200 {
		t.Errorf("%+v", got)
	}
	if body := h.must(http.StatusOK, h.get("/api/queues/none/names")).body; !strings.Contains(body, `"names":[]`) {
		t.Errorf("of a queue that nobody asked for: %s", body)
	}
	isProblem(t, h.get("/api/queues/%7Ba%7D/names"), http.StatusUnprocessableEntity)
	isProblem(t, h.get("/api/queues/q/names?x=1"), http.StatusUnprocessableEntity)
}

type workerList struct {
	Workers []struct {
		Worker, Host string
		Present      bool
		PID          int
		Queues       []string
		Concurrency  int
		Running      int
		Completed    int
		SeenAt       string
		Tasks        []struct{ TaskID, TaskName, Queue, Since string }
	}
}

func TestWorkersTellWhatTheyRunNow(t *testing.T) {
	h := build(t, api.Config{}, 2)
	h.project()
	var got workerList
	read := func() { parse(t, h.must(http.StatusOK, h.get("/api/workers")).body, &got) }
	if read(); got.Workers == nil || len(got.Workers) != 0 {
		t.Errorf("without workers there are %+v", got)
	}
	if err := h.log.Announce(t.Context(), eventlog.Presence{Worker: "idle", Host: "here", PID: 7, Queues: []string{"a"}, Concurrency: 3}); err != nil {
		t.Fatal(err)
	}
	h.must(http.StatusAccepted, h.post(`{"taskName":"<b>","queue":"q","customJobId":"t1"}`))
	a := h.start("q", "t1") // by worker w, which never announced itself
	h.until("what runs is counted", func() bool { read(); return len(got.Workers) == 2 && len(got.Workers[1].Tasks) == 1 })
	idle, silent := got.Workers[0], got.Workers[1]
	if idle.Worker != "idle" || !idle.Present || idle.Host != "here" || idle.PID != 7 || idle.Concurrency != 3 || len(idle.Queues) != 1 || idle.SeenAt == "" {
		t.Errorf("the worker that announced itself is %+v", idle)
	}
	task := silent.Tasks[0]
	if silent.Worker != "w" || silent.Present || silent.Running != 1 || task.TaskID != "t1" || task.TaskName != "<b>" || task.Queue != "q" || task.Since == "" {
		t.Errorf("the worker that never did is %+v", silent)
	}
	if _, err := h.log.Complete(t.Context(), a, time.Millisecond, nil); err != nil {
		t.Fatal(err)
	}
	h.until("only those are told that are there or run something", func() bool { read(); return len(got.Workers) == 1 })
	// A worker that was silent for long is gone.
	p := h.log.Partitions()[0]
	if err := h.redis.Client().HSet(t.Context(), p.Workers, "idle", `{"worker":"idle","seenAt":1}`).Err(); err != nil {
		t.Fatal(err)
	}
	if read(); len(got.Workers) != 0 {
		t.Errorf("a worker that was silent for years is told: %+v", got.Workers)
	}
}

func TestTheSystemTellsOfRedisAndOfEveryReader(t *testing.T) {
	h := build(t, api.Config{}, 2)
	type reader struct {
		Name, Kind, At string
		Entries        *int64
		BehindMs       int64
	}
	var got struct {
		At    time.Time
		Redis struct {
			Version                   string
			Memory, Clients, UptimeMs int64
			AOF                       *bool
			Policy, LastAppend        string
			Doubts                    []string
		}
		Log []struct {
			Partition, Entries, Bytes int64
			LastID                    string
			PerSecond                 *float64
			Readers                   []reader
		}
	}
	for i := range 20 {
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d"}`, i)))
	}
	p := h.log.Partitions()[1]
	if err := h.redis.Client().XGroupCreate(t.Context(), p.Events, "hook", "$").Err(); err != nil {
		t.Fatal(err)
	}
	parse(t, h.must(http.StatusOK, h.get("/api/system")).body, &got)
	if r := got.Redis; r.Version < "7" || r.Memory == 0 || r.Clients == 0 || r.AOF == nil || *r.AOF || r.Policy != "noeviction" || len(r.Doubts) != 1 {
		t.Errorf("Redis is %+v", r)
	}
	if len(got.Log) != 2 || got.Log[0].Entries+got.Log[1].Entries != 20 || got.Log[0].Bytes == 0 || got.Log[1].LastID == "" || got.Log[0].PerSecond != nil {
		t.Fatalf("the log is %+v", got.Log)
	}
	readers := got.Log[1].Readers
	if len(readers) != 2 || readers[0].Kind != "views" || *readers[0].Entries != got.Log[1].Entries ||
		readers[1] != (reader{Name: "hook", Kind: "group", At: got.Log[1].LastID, Entries: readers[1].Entries}) || *readers[1].Entries != 0 {
		t.Errorf("the readers are %+v", readers)
	}
	h.project()
	h.until("the views have caught up, and a rate is told", func() bool {
		parse(t, h.must(http.StatusOK, h.get("/api/system")).body, &got)
		views := got.Log[0].Readers[0]
		return *views.Entries == 0 && views.BehindMs == 0 && views.At == got.Log[0].LastID && got.Log[0].PerSecond != nil
	})
	// Any number of questions cost Redis one.
	before := h.calls("info")
	for range 50 {
		h.must(http.StatusOK, h.get("/api/system"))
	}
	if n := h.calls("info") - before; n > 3 {
		t.Errorf("50 questions asked Redis %d times", n)
	}
	h.must(http.StatusUnprocessableEntity, h.get("/api/system?x=1"))
	if !strings.Contains(h.get("/api/system").body, `"kind":"views"`) {
		t.Error("the views are no reader any more")
	}
}
