package eventlog_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// query is the part of a rediss URL that names files.
func query(c testredis.Certificates) string {
	return "?" + url.Values{"ca": {c.CA}, "cert": {c.Cert}, "key": {c.Key}}.Encode()
}

func TestTheLogIsKeptOverTLS(t *testing.T) {
	certs := testredis.NewCertificates(t)
	_, addr := testredis.StartTLS(t, certs)
	log := open(t, "rediss://"+addr+"/0"+query(certs), 1)
	h := newHand(t, log)
	a := h.running("a")
	must(log.Complete(t.Context(), a, time.Second, nil))(h)
	entries, err := log.Follow(t.Context(), log.Of("a"), events.ID{}, 10, time.Second)
	if err != nil || len(entries) != 4 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestARedisThatCannotProveWhoItIsGetsNothing(t *testing.T) {
	certs, others := testredis.NewCertificates(t), testredis.NewCertificates(t)
	_, addr := testredis.StartTLS(t, certs)
	byName := "rediss://localhost" + addr[strings.LastIndex(addr, ":"):]
	for what, tt := range map[string]struct{ url, want string }{
		"the system's authorities": {"rediss://" + addr, "certificate"},
		"another authority":        {"rediss://" + addr + "?ca=" + url.QueryEscape(others.CA), "certificate"},
		"another name":             {byName + query(certs), "certificate is not valid for any names"},
		"no proof of ours":         {"rediss://" + addr + "?ca=" + url.QueryEscape(certs.CA), ""},
		"a foreign proof":          {"rediss://" + addr + query(testredis.Certificates{CA: certs.CA, Cert: others.Cert, Key: others.Key}), ""},
		"no TLS":                   {"redis://" + addr, ""},
	} {
		conn, err := eventlog.Connect(tt.url)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if err := conn.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Ping = %v, want an error with %q", what, err, tt.want)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestURLsThatCannotBeUsedAreRefusedAndHideThePassword(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ url, want string }{
		{"http://u:hidden@x", "scheme"},
		{"redis://u:hidden@x:port", "port"},
		{"redis://u:hidden@x/0\x7f", "control character"},
		{"redis://u:hidden@x/none", "database"},
		{"redis://u:hidden@x?color=red", "color"},
		{"redis://u:hidden@x?cluster=yes", "want true or false"},
		{"redis://u:hidden@x/1?cluster=true", "a cluster has database 0 only"},
		{"redis://u:hidden@x?addr=y:1", "say cluster=true, or the master_name"},
		{"redis://u:hidden@x?cluster=true&master_name=m", "exclude each other"},
		{"redis://u:hidden@x?ca=a.pem", "ca, cert and key are for rediss://"},
		{"rediss://u:hidden@x?ca=none.pem", "none.pem"},
		{"rediss://u:hidden@x?ca=" + empty, "holds no certificate"},
		{"rediss://u:hidden@x?cert=" + empty, "cert and key"},
		{"rediss://u:hidden@x?cert=" + empty + "&key=" + empty, "cert and key"},
	} {
		conn, err := eventlog.Connect(tt.url)
		if err == nil {
			_ = conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("Connect(%q) = %v, want an error with %q and without the password", tt.url, err, tt.want)
		}
	}
}
