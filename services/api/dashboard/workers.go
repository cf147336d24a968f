package dashboard

import "github.com/tasklog/tasklog/services/api/wire"

// WorkersPage is the page of who runs tasks.
type WorkersPage struct {
	Base
	Workers []wire.Worker
}

func (WorkersPage) template() string { return "workers" }

// Slots is how many tasks the workers that are there can run at once, and Busy how many of these run.
func (p WorkersPage) Slots() (n int) {
	for _, w := range p.Workers {
		if w.Present {
			n += w.Concurrency
		}
	}
	return n
}

// Busy is how many tasks run.
func (p WorkersPage) Busy() (n int64) {
	for _, w := range p.Workers {
		n += w.Running
	}
	return n
}

// Present is how many workers are there.
func (p WorkersPage) Present() (n int) {
	for _, w := range p.Workers {
		if w.Present {
			n++
		}
	}
	return n
}
