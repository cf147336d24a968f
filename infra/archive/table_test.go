package archive_test

import (
	"os"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestTheParquetFileHasARowForEachEntry(t *testing.T) {
	log := filled(t, testredis.Start(t).URL(), 1, 300)
	dir := t.TempDir()
	write(t, create(t, dir), log, archive.Config{All: true})
	path := dir + "/" + named(t, dir, "00000001", ".parquet")
	rows, err := parquet.ReadFile[archive.Row](path)
	if err != nil {
		t.Fatal(err)
	}
	raw := stream(t, log, log.Partitions()[0])
	if len(rows) != len(raw) {
		t.Fatalf("%d rows for %d entries", len(rows), len(raw))
	}
	kinds := map[events.Type]int{}
	for i, r := range raw {
		row, e := rows[i], r.Entry()
		if row.ID != r.ID.String() || row.Ms != r.ID.Ms || row.Time != r.ID.Ms || row.Seq != r.ID.Seq || (e.Err != nil) != (row.NoEvent != nil) {
			t.Fatalf("%s: %+v", r.ID, row)
		}
		if e.Err != nil {
			kinds[""]++
			continue
		}
		kinds[e.Data.Type()]++
		body, err := events.DecodeData(events.Type(*row.Type), int(*row.Version), []byte(*row.Data))
		if err != nil || *row.Task != e.Task || *row.Queue != e.Data.About().Queue || row.Foreign != 0 {
			t.Fatalf("%s: %+v, %v", r.ID, row, err)
		}
		var right bool
		switch d := body.(type) {
		case events.TaskRequested:
			right = *row.DueAt == d.DueAt && *row.DelayMs == d.DelayMs && *row.Name == d.Name && row.Attempt == nil && row.Worker == nil
		case events.TaskDue:
			right = *row.DueAt == d.DueAt && *row.Attempt == int64(d.Attempt)
		case events.TaskStarted:
			right = *row.WaitMs == d.WaitMs && *row.Worker == d.Worker && *row.Attempt == int64(d.Attempt)
		case events.TaskCompleted:
			right = *row.RunMs == d.RunMs && *row.Worker == d.Worker && *row.Attempt == int64(d.Attempt)
		case events.TaskFailed:
			right = *row.RunMs == d.RunMs && *row.Reason == string(d.Reason) && *row.RetryAt == d.RetryAt && *row.Attempt == int64(d.Attempt)
		case events.TaskReleased:
			right = *row.Worker == d.Worker && *row.Reason == string(d.Reason) && row.RetryAt == nil
		case events.TaskCancelled:
			right = *row.Reason == d.Reason && row.RunMs == nil
		case events.TaskRetryRequested, events.QueueResumed:
			right = true
		case events.QueuePaused:
			right = row.Name == nil && row.WaitMs == nil
		}
		if !right {
			t.Errorf("%s: %+v does not tell %+v", r.ID, row, body)
		}
	}
	if len(kinds) != len(bodies)+1 {
		t.Errorf("%v: this proves nothing of the others", kinds)
	}
	if data, err := os.ReadFile(path); err != nil || string(data[:4]) != "PAR1" || string(data[len(data)-4:]) != "PAR1" {
		t.Errorf("no Parquet file, %v", err)
	}
}
