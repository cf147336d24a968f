package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/webhook"
)

// loopback is where the servers of these tests are.
var loopback = webhook.Allow{netip.MustParsePrefix("127.0.0.1/32")}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestASignatureIsTheHMACOfTimeAndBody(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("s3cret"))
	_, _ = fmt.Fprint(mac, `1764000000.{"a":1}`)
	want := "t=1764000000,v1=" + hex.EncodeToString(mac.Sum(nil))
	if got := webhook.Sign("s3cret", time.Unix(1764000000, 999), []byte(`{"a":1}`)); got != want {
		t.Errorf("Sign = %s, want %s", got, want)
	}
}

func TestVerifyAcceptsWhatSignMadeAndNothingElse(t *testing.T) {
	now := time.Unix(1764000000, 0)
	body := []byte("body")
	good := webhook.Sign("new", now, body)
	_, sum, _ := strings.Cut(good, ",")
	for _, tt := range []struct {
		what, header, body string
		at                 time.Time
		ok                 bool
	}{
		{"as signed", good, "body", now, true},
		{"at the edge of the tolerance", good, "body", now.Add(time.Minute), true},
		{"from a clock that is ahead", good, "body", now.Add(-time.Minute), true},
		{"while a secret is changed", webhook.Sign("old", now, body) + "," + sum, "body", now, true},
		{"with a space", strings.Replace(good, ",", ", ", 1), "body", now, true},
		{"too old", good, "body", now.Add(61 * time.Second), false},
		{"too new", good, "body", now.Add(-61 * time.Second), false},
		{"another body", good, "body2", now, false},
		{"another secret", webhook.Sign("other", now, body), "body", now, false},
		{"another time", strings.Replace(good, "1764000000", "1764000001", 1), "body", now, false},
		{"no time", sum, "body", now, false},
		{"no sum", "t=1764000000", "body", now, false},
		{"no hex", "t=1764000000,v1=zz", "body", now, false},
		{"empty sum", "t=1764000000,v1=", "body", now, false},
		{"nothing", "", "body", now, false},
	} {
		err := webhook.Verify("new", tt.header, []byte(tt.body), tt.at, time.Minute)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, webhook.ErrSignature) {
			t.Errorf("%s: Verify = %v, want ok %v", tt.what, err, tt.ok)
		}
	}
}

func FuzzVerifyAcceptsNoForgery(f *testing.F) {
	now := time.Unix(1764000000, 0)
	f.Add("t=1764000000,v1=00", "body")
	f.Add(",=,t==,v1", "")
	f.Fuzz(func(t *testing.T, header, body string) {
		err := webhook.Verify("secret", header, []byte(body), now, time.Hour)
		if err == nil && !strings.Contains(header, "v1=") {
			t.Errorf("%q is accepted for %q", header, body)
		}
	})
}

func TestOnlyPlainURLsAreTaken(t *testing.T) {
	for raw, ok := range map[string]bool{
		"http://x": true, "https://x.example:8443/a?b=c": true, "http://[::1]:80/": true, "HTTP://x": true,
		"": false, "x": false, "//x": false, "ftp://x": false, "http://": false, "http:///a": false, "http://:80": false,
		"http://u@x": false, "http://u:p@x": false, "http://x#f": false, "http://x\x7f": false, "http://x:port": false, "mailto:a@b": false,
	} {
		if _, err := webhook.ParseURL(raw); (err == nil) != ok {
			t.Errorf("ParseURL(%q) = %v, want ok %v", raw, err, ok)
		}
	}
	if _, err := webhook.ParseURL("http://u:hidden@x:port"); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("ParseURL = %v, want an error that hides the password", err)
	}
}

func TestPostSignsWhatItSendsAndFollowsNobody(t *testing.T) {
	hits := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		body, _ := io.ReadAll(r.Body)
		if err := webhook.Verify("s", r.Header.Get(webhook.SignatureHeader), body, time.Now(), time.Minute); err != nil {
			t.Error(err)
		}
		if r.Host != "virtual.example" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("host %s, header %v", r.Host, r.Header)
		}
		http.Redirect(w, r, "/next", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	c := webhook.NewClient(1000, loopback)
	defer c.Close()
	resp, err := c.Post(t.Context(), server.URL, http.Header{"Host": {"virtual.example"}}, "s", []byte("{}"))
	if err != nil || resp.Status != http.StatusTemporaryRedirect || resp.OK() || hits != 1 {
		t.Errorf("Post = %+v, %v after %d requests; want the redirect itself", resp, err, hits)
	}
}

func TestPostReadsNoMoreThanItsLimit(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		for r.Context().Err() == nil { // until the client has had enough
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	c := webhook.NewClient(1000, loopback)
	defer c.Close()
	resp, err := c.Post(t.Context(), server.URL, nil, "", nil)
	if !errors.Is(err, webhook.ErrTooLong) || len(resp.Body) != 1000 || resp.Status != http.StatusAccepted {
		t.Errorf("Post = %d with %d bytes, %v; want ErrTooLong", resp.Status, len(resp.Body), err)
	}
}

func TestPostEndsWithItsContextAndHidesTheURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer server.Close()
	c := webhook.NewClient(1000, loopback)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	resp, err := c.Post(ctx, server.URL+"/?token=hidden", nil, "", nil)
	if !errors.Is(err, context.DeadlineExceeded) || resp.Status != 0 || strings.Contains(err.Error(), "hidden") {
		t.Errorf("Post = %+v, %v; want the end of its context", resp, err)
	}
}

func TestCutKeepsTextWhole(t *testing.T) {
	for body, want := range map[string]string{
		" hello \n": "hello", "": "", "0123456789": "0123456789", "01234567890": "0123456789 …",
		"012345678é": "012345678 …", "\xff": "\uFFFD",
	} {
		if got := (webhook.Response{Body: []byte(body)}).Cut(10); got != want {
			t.Errorf("Cut(%q) = %q, want %q", body, got, want)
		}
	}
}
