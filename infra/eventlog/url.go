package eventlog

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

// address is where a Redis is: a server, a cluster, or the master that sentinels name.
type address struct {
	*redis.Options
	more    []string // further nodes of the cluster, or further sentinels
	cluster bool
	master  string // as sentinels call it

	sentinelUser, sentinelPassword string
}

// ours are the parts of a URL's query that go-redis would not take of a server.
var ours = []string{"ca", "cert", "key", "cluster", "addr", "master_name", "sentinel_username", "sentinel_password"}

// parseURL reads a Redis URL, and the files that it names. Its errors do not repeat the password.
func parseURL(raw string) (address, error) {
	if raw == "" {
		return address{}, errors.New("there is none")
	}
	u, err := url.Parse(raw)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the error itself repeats the URL
		}
		return address{}, err
	}
	q, rest := u.Query(), u.Query()
	for _, name := range ours {
		rest.Del(name)
	}
	u.RawQuery = rest.Encode()
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return address{}, err
	}
	at := address{
		Options: o, more: q["addr"], master: q.Get("master_name"),
		sentinelUser: q.Get("sentinel_username"), sentinelPassword: q.Get("sentinel_password"),
	}
	switch v := q.Get("cluster"); {
	case v == "true" && at.master != "":
		return address{}, errors.New("cluster and master_name exclude each other: sentinels watch over servers that are no cluster")
	case v != "" && v != "true" && v != "false":
		return address{}, fmt.Errorf("cluster=%s: want true or false", v)
	case v != "true" && at.master == "" && len(at.more) > 0:
		return address{}, errors.New("addr names further nodes: say cluster=true, or the master_name that sentinels know")
	default:
		at.cluster = v == "true"
	}
	if at.cluster && o.DB != 0 {
		return address{}, fmt.Errorf("database %d: a cluster has database 0 only", o.DB)
	}
	return at, at.encrypt(q.Get("ca"), q.Get("cert"), q.Get("key"))
}

// encrypt reads the files that a rediss URL names.
func (a *address) encrypt(ca, cert, key string) (err error) {
	if a.TLSConfig == nil {
		if ca+cert+key != "" {
			return errors.New("ca, cert and key are for rediss://")
		}
		return nil
	}
	a.TLSConfig.MinVersion = tls.VersionTLS12
	if a.cluster || a.master != "" {
		a.TLSConfig.ServerName = "" // each node proves the name that it is called by
	}
	if ca != "" {
		if a.TLSConfig.RootCAs, err = authorities(ca); err != nil {
			return err
		}
	}
	if cert+key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("cert and key: %w", err)
		}
		a.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// answer is how long Redis may take to answer.
const answer = 3 * time.Second

// pipeliner is a client that can make pipelines of what many goroutines ask.
type pipeliner interface {
	redis.UniversalClient
	AutoPipelineWithOptions(*redis.AutoPipelineOptions) (*redis.AutoPipeliner, error)
}

// open returns a client with so many connections to a node, whose reads may take so long.
//
// Only our code repeats: a client that retries a plain XADD writes the event twice. A cluster's client would
// repeat whenever it follows a redirection, so it follows none: it learns who holds what, and we ask again.
func (a address) open(pool int, read time.Duration) pipeliner {
	o := redis.UniversalOptions{
		Addrs: append([]string{a.Addr}, a.more...), DB: a.DB, Username: a.Username, Password: a.Password, TLSConfig: a.TLSConfig,
		MasterName: a.master, SentinelUsername: a.sentinelUser, SentinelPassword: a.sentinelPassword,
		ClientName: a.ClientName, PoolFIFO: a.PoolFIFO, PoolTimeout: a.PoolTimeout, MinIdleConns: a.MinIdleConns,
		MaxIdleConns: a.MaxIdleConns, MaxActiveConns: a.MaxActiveConns, ConnMaxIdleTime: a.ConnMaxIdleTime, ConnMaxLifetime: a.ConnMaxLifetime,
		Protocol: 2, PoolSize: pool, MaxRetries: -1, MaxRedirects: -1, DialerRetries: 1, DialTimeout: time.Second,
		ReadTimeout: read, WriteTimeout: answer, ContextTimeoutEnabled: true, DisableIdentity: true,
	}
	switch {
	case a.cluster:
		c := o.Cluster()
		c.DisableRoutingPolicies = true // they send what has no key to every node
		rdb := redis.NewClusterClient(c)
		rdb.AddHook(reload{rdb})
		return rdb
	case a.master != "":
		return redis.NewFailoverClient(o.Failover())
	}
	single := o.Simple()
	single.Network = a.Network // which may be a socket's
	return redis.NewClient(single)
}

// authorities reads certificates from a PEM file.
func authorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca: %s holds no certificate", path)
	}
	return pool, nil
}
