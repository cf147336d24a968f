package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const connections = 64

// http posts tasks over 64 connections as fast as they are answered, with no service but the API running:
// by wrk where that is on the PATH, whose processor time is not counted, else from this process, which takes its
// part of the machine.
func (b bench) http(ctx context.Context, s side, srv *server) (figures, error) {
	url, err := s.serve(ctx)
	if err != nil {
		return nil, err
	}
	body := fmt.Sprintf(`{"taskName":"noop","payload":%s}`, payload)
	by := func(ctx context.Context, d time.Duration) (int, error) { return flood(ctx, d, url, body) }
	if wrk, err := exec.LookPath("wrk"); err == nil {
		by = func(ctx context.Context, d time.Duration) (int, error) {
			return runWrk(ctx, wrk, srv.dir, d, url, body)
		}
	}
	if _, err := by(ctx, b.window/10); err != nil { // to warm up
		return nil, err
	}
	var n int
	before, after, err := around(ctx, s, srv, func() (err error) {
		n, err = by(ctx, b.window)
		return err
	})
	if err != nil {
		return nil, err
	}
	return per(n, before, after, after.at), nil
}

// answered and refused find in what wrk says how many requests were answered, and how many by an error.
var (
	answered = regexp.MustCompile(`(\d+) requests in`)
	refused  = regexp.MustCompile(`(?m)Non-2xx.*|Socket errors.*`)
)

// runWrk lets wrk post a body for a time, and returns how often that was answered.
func runWrk(ctx context.Context, wrk, dir string, d time.Duration, url, body string) (int, error) {
	script := filepath.Join(dir, "post.lua")
	text := fmt.Sprintf("wrk.method = 'POST'\nwrk.body = %q\nwrk.headers['Content-Type'] = 'application/json'\n", body)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		return 0, err
	}
	seconds := max(1, int(d.Seconds()))
	out, err := exec.CommandContext(ctx, wrk, "-t", "1", "-c", strconv.Itoa(connections),
		"-d", fmt.Sprint(seconds, "s"), "-s", script, url).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", wrk, err, out)
	}
	m := answered.FindSubmatch(out)
	if m == nil || refused.Match(out) {
		return 0, fmt.Errorf("%s: %s", wrk, out)
	}
	return strconv.Atoi(string(m[1]))
}

// flood posts a body for a time, from as many goroutines as there are connections.
func flood(ctx context.Context, d time.Duration, url, body string) (n int, err error) {
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	counts := make([]int, connections)
	until := time.Now().Add(d)
	err = each(connections, connections, func(i int) error {
		for time.Now().Before(until) {
			if err := post(ctx, c, url, []byte(body)); err != nil {
				return err
			}
			counts[i]++
		}
		return nil
	})
	for _, count := range counts {
		n += count
	}
	return n, err
}
