package dashboard

// QueuePage is the page of one queue.
type QueuePage struct {
	Base
	Charts
	Queue Queue
	Tasks TasksPage // of the queue
}

func (QueuePage) template() string { return "queue" }
