package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// bounds are the slots at which the second and the third master of the cluster begin, and the end: so that six
// partitions are two on each, and three are one.
var bounds = []int{5650, 9975, 16384}

// nodes are the Redis that a log lies on.
type nodes struct {
	list []*server
	url  string
}

// startNodes starts one Redis, or a cluster of as many masters as there are bounds.
func startNodes(ctx context.Context, cluster bool) (n nodes, err error) {
	defer func() {
		if err != nil {
			n.stop()
		}
	}()
	if !cluster {
		s, err := startServer(ctx, false)
		if err != nil {
			return n, err
		}
		return nodes{[]*server{s}, s.url}, nil
	}
	query, from := url.Values{"cluster": {"true"}}, 0
	for i, to := range bounds {
		bus, err := freePort(ctx)
		if err != nil {
			return n, err
		}
		s, err := startServer(ctx, false, "--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(bus))
		if err != nil {
			return n, err
		}
		n.list = append(n.list, s)
		addr := s.rdb.Options().Addr
		query.Add("addr", addr)
		host, port, _ := strings.Cut(addr, ":")
		for _, command := range [][]any{
			{"CLUSTER", "SET-CONFIG-EPOCH", i + 1},
			{"CLUSTER", "ADDSLOTSRANGE", from, to - 1},
		} {
			if err := s.rdb.Do(ctx, command...).Err(); err != nil {
				return n, err
			}
		}
		if err := n.list[0].rdb.Do(ctx, "CLUSTER", "MEET", host, port, bus).Err(); err != nil {
			return n, err
		}
		from = to
	}
	n.url = "redis://" + n.list[0].rdb.Options().Addr + "/0?" + query.Encode()
	return n, until(ctx, func() (bool, error) {
		for _, s := range n.list {
			info, err := s.rdb.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(bounds))) {
				return false, err
			}
		}
		return true, nil
	})
}

func (n nodes) stop() {
	for _, s := range n.list {
		s.stop()
	}
}

// spent is what was spent up to a moment, for each node.
func (n nodes) spent(ctx context.Context, beside side) (all []usage, err error) {
	for _, s := range n.list {
		u, err := s.spent(ctx, beside)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// A scale is what the same work took on some number of nodes and partitions.
type scale struct {
	Nodes        int       `json:"nodes"`
	Partitions   int       `json:"partitions"`
	TasksPerSec  float64   `json:"tasksPerSec"`
	RedisMicros  float64   `json:"redisMicros"`  // a task, of all nodes together
	NodeMicros   []float64 `json:"nodeMicros"`   // of each
	ClientMicros float64   `json:"clientMicros"` // of all that runs beside them
}

// scaling measures the same work at one, three and six partitions, on one node and on three, in turns: end to end, as
// that row does. Of several runs it takes the one in which Redis needed least, when least else ran on the machine. It prints a
// JSON object a line, and a table.
func (b bench) scaling(ctx context.Context) error {
	best := make([]scale, 6)
	for range b.runs {
		for i := range best {
			s, err := b.scale(ctx, i >= 3, []int{1, 3, 6}[i%3])
			if err != nil {
				return err
			}
			if best[i].Nodes == 0 || s.RedisMicros < best[i].RedisMicros {
				best[i] = s
			}
		}
	}
	out := table.NewWriter()
	out.AppendHeader(table.Row{"masters", "partitions", "Redis µs", "of each master", "client µs", "tasks/s"})
	for _, s := range best {
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		fmt.Println(string(text))
		var each []string
		for _, micros := range s.NodeMicros {
			each = append(each, fmt.Sprintf("%.1f", micros))
		}
		out.AppendRow(table.Row{
			s.Nodes, s.Partitions, fmt.Sprintf("%.1f", s.RedisMicros), strings.Join(each, ", "),
			fmt.Sprintf("%.1f", s.ClientMicros), fmt.Sprintf("%.0f", s.TasksPerSec),
		})
	}
	if !b.asJSON {
		fmt.Println(out.Render())
	}
	if b.page == "" {
		return nil
	}
	return writeInto(b.page, "scaling", out.RenderMarkdown())
}

// scale measures once, on new nodes.
func (b bench) scale(ctx context.Context, cluster bool, partitions int) (scale, error) {
	n, err := startNodes(ctx, cluster)
	if err != nil {
		return scale{}, err
	}
	defer n.stop()
	conn, err := eventlog.Connect(n.url)
	if err != nil {
		return scale{}, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := eventlog.Open(ctx, conn, eventlog.Config{Partitions: partitions}); err != nil { // fixes their number
		return scale{}, err
	}
	t, err := newTasklog(ctx, &server{url: n.url})
	if err != nil {
		return scale{}, err
	}
	defer t.close()
	if err := start(ctx, t, b.concurrency); err != nil {
		return scale{}, err
	}
	warm := b.tasks / 20 // until leases are taken, and connections made
	if err := b.pass(ctx, t, warm, warm); err != nil {
		return scale{}, err
	}
	before, err := n.spent(ctx, t)
	if err != nil {
		return scale{}, err
	}
	began := time.Now()
	if err := b.pass(ctx, t, b.tasks, warm+b.tasks); err != nil {
		return scale{}, err
	}
	s := scale{Nodes: len(n.list), Partitions: partitions, TasksPerSec: round(float64(b.tasks) / time.Since(began).Seconds())}
	if err := t.settled(ctx); err != nil {
		return scale{}, err
	}
	after, err := n.spent(ctx, t)
	if err != nil {
		return scale{}, err
	}
	for i := range n.list {
		f := per(b.tasks, before[i], after[i], after[i].at)
		s.NodeMicros = append(s.NodeMicros, round(f["redisMicros"]))
		s.RedisMicros = round(s.RedisMicros + f["redisMicros"])
		s.ClientMicros = round(f["clientMicros"])
	}
	return s, nil
}

// pass asks for tasks and waits until all that there ever were are completed.
func (b bench) pass(ctx context.Context, t *tasklog, tasks, ever int) error {
	if err := t.enqueue(ctx, load{N: tasks, Callers: b.callers}); err != nil {
		return err
	}
	return t.finished(ctx, ever)
}
