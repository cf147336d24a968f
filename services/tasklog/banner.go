package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/tasklog/tasklog/infra/devredis"
)

// banner is what `tasklog dev` says at its start.
type banner struct {
	addr   string           // of the API, as it is bound
	at     string           // URL of Redis
	data   string           // folder of our Redis
	redis  *devredis.Server // ours, or nil
	stream string           // key of the first partition

	noWorker bool
	tokens   bool // the API wants one
}

const bannerText = `Tasklog runs, with everything in one process.

  Redis      %[1]s
  API        %[2]s/api/tasks
  Dashboard  %[2]s/admin/queues
  Metrics    %[2]s/metrics

In another terminal, ask for a task, see its events, and see them in Redis:

  curl -s %[2]s/api/tasks%[7]s -H 'Content-Type: application/json' \
    -d '{"taskName":"sendEmail","payload":{"userId":123,"template":"welcome"},"delayMs":5000,"priority":1,"customJobId":"unique-id-123"}'
  %[3]s
  %[4]s XREAD COUNT 100 STREAMS '%[5]s' 0

%[6]s

Ctrl-C stops it when the running tasks are done, or given back after TASKLOG_GRACE; a second one stops it at once.
`

const embeddedText = `
  ************************************************************************************
  *  This Redis lives in memory: at the end everything is LOST. It is slow, too.     *
  *  Install redis-server or valkey-server (7 or newer), or set TASKLOG_REDIS_URL.   *
  ************************************************************************************
`

func (b banner) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, bannerText, b.which(), "http://"+b.reachable(), b.tail(), b.cli(), b.stream, b.handlers(), b.bearer())
	return err
}

// handlers says what runs tasks.
func (b banner) handlers() string {
	if b.noWorker {
		return "No worker runs here: tasks wait for yours, with TASKLOG_REDIS_URL='" + redacted(b.at) + "'"
	}
	return demoHelp
}

// bearer is what curl needs where the API wants a token.
func (b banner) bearer() string {
	if !b.tokens {
		return ""
	}
	return ` -H "Authorization: Bearer $TOKEN"`
}

// which says which Redis it is.
func (b banner) which() string {
	switch {
	case b.redis == nil:
		return redacted(b.at) + ", as it was named"
	case b.redis.Kind == devredis.Embedded:
		return "the embedded one, at " + b.redis.URL + "\n" + embeddedText
	}
	return fmt.Sprintf("%s %s at %s, started here (%s); its data is kept in %s",
		b.redis.Kind, b.redis.Version, b.redis.URL, b.redis.Path, b.data)
}

// reachable is the address of the API for a client on this machine.
func (b banner) reachable() string {
	host, port, err := net.SplitHostPort(b.addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return b.addr
}

// tail is the command that follows the log of this Redis.
func (b banner) tail() string {
	cmd := self() + " tail"
	switch {
	case b.redis == nil:
		return cmd + " --redis '" + redacted(b.at) + "'"
	case b.data != config{}.withDefaults().Data:
		return cmd + " --data '" + b.data + "'"
	}
	return cmd
}

// cli is redis-cli with the way to this Redis.
func (b banner) cli() string {
	u, err := url.Parse(b.at)
	switch {
	case err != nil:
		return "redis-cli"
	case u.Scheme == "unix":
		return "redis-cli -s '" + u.Path + "'"
	case b.redis != nil:
		return "redis-cli -p " + u.Port()
	}
	u.RawQuery = "" // which redis-cli does not know
	return "redis-cli -u '" + u.Redacted() + "'"
}

// self is how this program can be called from the current folder.
func self() string {
	exe, err := os.Executable()
	if err != nil {
		return "tasklog"
	}
	here, err := os.Getwd()
	if err != nil {
		return "tasklog"
	}
	rel, err := filepath.Rel(here, exe)
	if err != nil || strings.HasPrefix(rel, "..") {
		return "tasklog"
	}
	return "./" + rel
}
