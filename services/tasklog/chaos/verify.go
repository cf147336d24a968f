package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// verified is what matters here of the JSON of `tasklog verify`.
type verified struct {
	Events          int64 `json:"events"`
	Undecodable     int64 `json:"undecodable"`
	ViolationCount  int64 `json:"violationCount"`
	DifferenceCount int64 `json:"differenceCount"`
	Violations      []struct {
		Invariant string `json:"invariant"`
		Entry     string `json:"entry"`
		Task      string `json:"task"`
		Text      string `json:"text"`
	} `json:"violations"`
	Differences []struct {
		Key  string `json:"key"`
		Text string `json:"text"`
	} `json:"differences"`
	Reasons map[string]int64 `json:"reasons"`
}

// verify runs `tasklog verify` past the network, while the services run.
func verify(ctx context.Context, binary, redisURL string) (v verified, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, "verify", "--json", "--settled", "--redis", redisURL, "--prefix", prefix,
		"--partitions", strconv.Itoa(partitions))
	cmd.Stdout, cmd.Stderr = &out, &said
	failed := cmd.Run() // with code 1 when something is wrong, which the JSON tells
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		return v, fmt.Errorf("tasklog verify: %w: %w: %s", failed, err, said.Bytes())
	}
	return v, nil
}
