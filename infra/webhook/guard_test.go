package webhook_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tasklog/tasklog/infra/webhook"
)

func allow(t *testing.T, list ...string) webhook.Allow {
	t.Helper()
	a, err := webhook.ParseAllow(list)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOnlyThePublicInternetIsCalledUnlessMoreIsAllowed(t *testing.T) {
	everything := allow(t, "0.0.0.0/0", "::/0")
	for _, tt := range []struct {
		addr            string
		plain, allowing bool // whether it may be called: as it is, and when everything is allowed
	}{
		{"1.1.1.1", true, true},
		{"93.184.215.14", true, true},
		{"2606:4700::1111", true, true},
		{"11.0.0.1", true, true},
		{"172.32.0.1", true, true},
		{"100.128.0.1", true, true},
		{"192.169.0.1", true, true},

		{"127.0.0.1", false, true},
		{"127.255.255.254", false, true},
		{"::1", false, true},
		{"10.0.0.1", false, true},
		{"172.16.0.1", false, true},
		{"172.31.255.255", false, true},
		{"192.168.1.1", false, true},
		{"100.64.0.1", false, true},
		{"100.100.100.200", false, true},
		{"192.0.0.1", false, true},
		{"192.0.2.1", false, true},
		{"198.18.0.1", false, true},
		{"198.19.255.255", false, true},
		{"203.0.113.7", false, true},
		{"fc00::1", false, true},
		{"fd12:3456::1", false, true},
		{"2001:db8::1", false, true},
		{"2001::1", false, true},
		{"fec0::1", false, true},
		{"::7f00:1", false, true},
		{"64:ff9b:1::a01:101", false, true},
		{"64:ff9b:1::a9fe:a9fe", false, false},
		{"::ffff:0:169.254.169.254", false, false},
		{"4000::1", false, true},
		{"168.63.129.16", false, false},

		{"169.254.169.254", false, false},
		{"169.254.170.2", false, false},
		{"fe80::1", false, false},
		{"fe80::1%eth0", false, false},
		{"fd00:ec2::254", false, false},
		{"0.0.0.0", false, false},
		{"0.1.2.3", false, false},
		{"::", false, false},
		{"224.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"240.0.0.1", false, false},
		{"ff02::1", false, false},

		// The same again, in the other forms that an IPv4 address has.
		{"::ffff:1.1.1.1", true, true},
		{"::ffff:127.0.0.1", false, true},
		{"::ffff:169.254.169.254", false, false},
		{"64:ff9b::101:101", true, true},
		{"64:ff9b::10.0.0.1", false, true},
		{"64:ff9b::a9fe:a9fe", false, false},
		{"2002:101:101::1", true, true},
		{"2002:a00:1::1", false, true},
		{"2002:a9fe:a9fe::1", false, false},
	} {
		addr := netip.MustParseAddr(tt.addr)
		if err := webhook.Allow(nil).Check(addr); (err == nil) != tt.plain || err != nil && !errors.Is(err, webhook.ErrForbidden) {
			t.Errorf("Check(%s) = %v, want ok %t", addr, err, tt.plain)
		}
		if err := everything.Check(addr); (err == nil) != tt.allowing {
			t.Errorf("with everything allowed, Check(%s) = %v, want ok %t", addr, err, tt.allowing)
		}
	}
	if err := everything.Check(netip.Addr{}); !errors.Is(err, webhook.ErrForbidden) {
		t.Errorf("Check of no address = %v", err)
	}
}

func TestAllowOpensWhatItNamesAndNothingElse(t *testing.T) {
	a := allow(t, "10.1.0.0/16", " 127.0.0.1 ", "fd12::/16")
	for addr, ok := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": true, "127.0.0.2": false, "::1": false, "fd12::1": true, "fd13::1": false,
	} {
		if err := a.Check(netip.MustParseAddr(addr)); (err == nil) != ok {
			t.Errorf("Check(%s) = %v, want ok %t", addr, err, ok)
		}
	}
	for _, bad := range []string{"", "x", "10.0.0.0/33", "localhost", "fe80::1%eth0", "::ffff:10.0.0.0/104", "10.0.0.0/8,1.1.1.1"} {
		if _, err := webhook.ParseAllow([]string{bad}); err == nil {
			t.Errorf("ParseAllow(%q) succeeded", bad)
		}
	}
}

func TestAHostThatIsKnownToBeForbiddenIsFoundBeforeItIsCalled(t *testing.T) {
	for host, ok := range map[string]bool{
		"example.com": true, "1.1.1.1": true, "localhost": false, "LOCALHOST.": false, "a.localhost": false, "127.0.0.1": false, "::1": false, "10.0.0.1": false,
	} {
		if err := webhook.Allow(nil).CheckHost(host); (err == nil) != ok {
			t.Errorf("CheckHost(%s) = %v, want ok %t", host, err, ok)
		}
	}
	for _, a := range []webhook.Allow{allow(t, "::1"), loopback} {
		if err := a.CheckHost("localhost"); err != nil {
			t.Errorf("CheckHost(localhost) = %v with %v allowed", err, a)
		}
	}
}

// A name that means a forbidden address passes every check of the URL: only the one at the dial holds.
func TestANameIsJudgedByTheAddressThatItMeansWhenItIsCalled(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	defer server.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "[::ffff:127.0.0.1]"} {
		c := webhook.NewClient(1000, nil)
		resp, err := c.Post(t.Context(), "http://"+host+":"+port, nil, "", []byte("{}"))
		if !errors.Is(err, webhook.ErrForbidden) || resp.Status != 0 {
			t.Errorf("%s: Post = %+v, %v, want ErrForbidden", host, resp, err)
		}
		c.Close()
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("the server was called %d times", n)
	}
	c := webhook.NewClient(1000, loopback)
	defer c.Close()
	if _, err := c.Post(t.Context(), "http://localhost:"+port, nil, "", nil); err != nil || calls.Load() != 1 {
		t.Errorf("allowed, Post = %v after %d calls", err, calls.Load())
	}
}

func TestNoProxyIsUsedWhateverTheEnvironmentSays(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	c := webhook.NewClient(1000, loopback)
	defer c.Close()
	// RFC 5737: nobody is there, and the guard says so before anybody is asked.
	if _, err := c.Post(t.Context(), "http://192.0.2.1/", nil, "", nil); !errors.Is(err, webhook.ErrForbidden) || asked.Load() != 0 {
		t.Errorf("Post = %v, and the proxy was asked %d times", err, asked.Load())
	}
}

func FuzzParseAllowOpensNothingThatIsClosed(f *testing.F) {
	f.Add("0.0.0.0/0", []byte{169, 254, 169, 254})
	f.Add("::/0", netip.MustParseAddr("64:ff9b::a9fe:a9fe").AsSlice())
	f.Add("fe80::/10", netip.MustParseAddr("fe80::1").AsSlice())
	f.Fuzz(func(t *testing.T, network string, bytes []byte) {
		a, err := webhook.ParseAllow([]string{network})
		addr, ok := netip.AddrFromSlice(bytes)
		if err != nil || !ok {
			return
		}
		if plain := addr.Unmap(); a.Check(addr) == nil && (plain.IsLinkLocalUnicast() || plain.IsMulticast() || plain.IsUnspecified()) {
			t.Errorf("with %s allowed %s may be called", network, addr)
		}
	})
}
