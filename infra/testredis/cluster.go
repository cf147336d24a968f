package testredis

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const slots = 16384 // of a cluster

// Cluster is a Redis Cluster that a test started.
type Cluster struct {
	Masters  []*Server
	Replicas []*Server // of the masters, in their order; none if there are none
}

// StartCluster starts a cluster in which each master has as many slots, and a replica if wanted. A master that
// is silent for a second is replaced by its replica.
func StartCluster(t testing.TB, masters int, replicas bool) *Cluster {
	t.Helper()
	c, nodes := &Cluster{}, masters
	if replicas {
		nodes *= 2
	}
	all := make([]*Server, nodes)
	for i := range all {
		all[i] = Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", fmt.Sprint(freePort(t)),
			"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
	}
	c.Masters, c.Replicas = all[:masters], all[masters:]
	for i, s := range all {
		s.tell(t, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < masters {
			s.tell(t, "CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
		}
		if i > 0 {
			s.tell(t, "CLUSTER", "MEET", "127.0.0.1", all[0].port, all[0].busPort())
		}
	}
	for _, s := range all {
		s.await(t, "CLUSTER INFO", fmt.Sprintf("cluster_known_nodes:%d\r", nodes))
	}
	for i, s := range c.Replicas {
		s.tell(t, "CLUSTER", "REPLICATE", c.Masters[i].tell(t, "CLUSTER", "MYID"))
	}
	for _, s := range c.Replicas {
		s.await(t, "INFO replication", "master_link_status:up")
	}
	for _, s := range all {
		s.await(t, "CLUSTER INFO", "cluster_state:ok")
	}
	return c
}

// URL is what eventlog.Connect takes.
func (c *Cluster) URL() string {
	q := url.Values{"cluster": {"true"}}
	for _, s := range append(c.Masters[1:], c.Replicas...) {
		q.Add("addr", s.Addr())
	}
	return fmt.Sprintf("redis://%s/0?%s", c.Masters[0].Addr(), q.Encode())
}

// StartSentinel starts a master, a replica and a sentinel that makes it the master when that is silent for half
// a second, and returns what eventlog.Connect takes.
func StartSentinel(t testing.TB) (master *Server, url string) {
	t.Helper()
	master = Start(t)
	replica := Start(t, "--replicaof", fmt.Sprint("127.0.0.1 ", master.port), "--repl-diskless-sync-delay", "0")
	replica.await(t, "INFO replication", "master_link_status:up")
	s := &Server{port: freePort(t), dir: t.TempDir()}
	s.sentinel = filepath.Join(s.dir, "sentinel.conf")
	conf := fmt.Sprintf("sentinel monitor house 127.0.0.1 %d 1\nsentinel down-after-milliseconds house 500\n"+
		"sentinel failover-timeout house 5000\n", master.port)
	if err := os.WriteFile(s.sentinel, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, s).await(t, "INFO sentinel", "slaves=1")
	return master, fmt.Sprintf("redis://%s/0?master_name=house", s.Addr())
}

// busPort is the one that nodes of a cluster talk through.
func (s *Server) busPort() string {
	for i, arg := range s.args {
		if arg == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}

func (s *Server) tell(t testing.TB, command ...any) any {
	t.Helper()
	reply, err := s.rdb.Do(t.Context(), command...).Result()
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// await asks a server until its answer has some words.
func (s *Server) await(t testing.TB, command, words string) {
	t.Helper()
	var ask []any
	for word := range strings.FieldsSeq(command) {
		ask = append(ask, word)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		answer, _ := s.rdb.Do(t.Context(), ask...).Text() // it may have no answer yet
		if strings.Contains(answer, words) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never has %q: %s", command, words, answer)
		}
		tick := time.NewTimer(5 * time.Millisecond)
		<-tick.C
	}
}
