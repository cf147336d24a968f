package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/workers"
	"github.com/tasklog/tasklog/services/api/wire"
)

const (
	maxRunning = 100 // tasks that are told of one worker
	maxLabels  = 500 // tasks that are told by name, in all
)

// listWorkers serves GET /api/workers.
func (a *API) listWorkers(c *gin.Context) {
	if _, err := query(c); err != nil {
		a.fail(c, err)
		return
	}
	list, fresh, err := a.workers(c.Request.Context())
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, struct {
		Workers []wire.Worker `json:"workers"`
		counted
	}{list, countedOf(fresh)})
}

// workers returns the workers that are there, and after them those that are gone and still hold tasks, each by id.
func (a *API) workers(ctx context.Context) ([]wire.Worker, views.Freshness, error) {
	did, fresh, err := a.views.Workers(ctx)
	if err != nil {
		return nil, fresh, unusable(err)
	}
	now, err := a.log.Now(ctx)
	if err != nil {
		return nil, fresh, err
	}
	present, err := a.log.Present(ctx, a.log.Partitions()[0]) // they tell every partition
	if err != nil {
		return nil, fresh, err
	}
	list := []wire.Worker{}
	said := map[string]bool{}
	for _, p := range present {
		w := workerOf(p.Worker, did.Get(p.Worker))
		w.Present = p.There(now)
		w.Host, w.PID, w.Version, w.Concurrency = p.Host, p.PID, p.Version, p.Concurrency
		w.Queues = append(w.Queues, p.Queues...)
		w.StartedAt, w.SeenAt = wire.Stamp(p.StartedAt), wire.Stamp(p.SeenAt)
		said[p.Worker] = true
		if w.Present || w.Running > 0 {
			list = append(list, w)
		}
	}
	for id, d := range did.All() {
		if !said[id] && d.Running > 0 {
			w := workerOf(id, d)
			w.SeenAt = wire.Stamp(d.LastAt)
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b wire.Worker) int {
		if a.Present != b.Present {
			if a.Present {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Worker, b.Worker)
	})
	return list, fresh, a.label(ctx, list)
}

// workerOf is what a worker did, as far as its events were counted.
func workerOf(id string, did *workers.Worker) wire.Worker {
	w := wire.Worker{Worker: id, Queues: []string{}, Tasks: []wire.Running{}}
	if did == nil {
		return w
	}
	w.Running, w.Completed, w.Failed = max(0, did.Running), did.Completed, did.Failed
	w.Released, w.Abandoned, w.Cancelled = did.Released, did.Abandoned, did.Cancelled
	for task, since := range did.Tasks {
		w.Tasks = append(w.Tasks, wire.Running{TaskID: task, Since: wire.Stamp(since)})
	}
	slices.SortFunc(w.Tasks, func(a, b wire.Running) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.TaskID, b.TaskID))
	})
	w.Tasks = w.Tasks[:min(len(w.Tasks), maxRunning)]
	return w
}

// label names the queues and the kinds of the tasks that run.
func (a *API) label(ctx context.Context, list []wire.Worker) error {
	asked := map[int][]string{}
	left := maxLabels
	for _, w := range list {
		for _, t := range w.Tasks[:min(len(w.Tasks), left)] {
			p := a.log.Of(t.TaskID)
			asked[p.N] = append(asked[p.N], t.TaskID)
			left--
		}
	}
	labels := map[string]events.Label{}
	for n, ids := range asked {
		found, err := a.log.LabelsOf(ctx, a.log.Partitions()[n], ids)
		if err != nil {
			return err
		}
		for id, label := range found {
			labels[id] = label
		}
	}
	for _, w := range list {
		for i, t := range w.Tasks {
			w.Tasks[i].Queue, w.Tasks[i].TaskName = labels[t.TaskID].Queue, labels[t.TaskID].Name
		}
	}
	return nil
}
