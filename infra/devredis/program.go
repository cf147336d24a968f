package devredis

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// program is a Redis server on the PATH.
type program struct{ kind, path, version string }

// minMajor is the least version whose commands the log uses.
const minMajor = 7

// find returns the first program on the PATH that can serve, or nil, and why others cannot.
func find(ctx context.Context) (found *program, skipped []string) {
	for _, kind := range []string{"redis-server", "valkey-server"} {
		path, err := exec.LookPath(kind)
		if err != nil {
			continue
		}
		version, err := versionOf(ctx, path)
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("%s: %v", path, err))
			continue
		}
		return &program{kind, path, version}, skipped
	}
	return nil, skipped
}

// versionLine is "Redis server v=7.0.15 sha=00000000:0 …", or "Valkey server v=…".
var versionLine = regexp.MustCompile(`\bv=((\d+)\.\S+)`)

func versionOf(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("does not run: %w", err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("does not tell its version")
	}
	if major, err := strconv.Atoi(string(m[2])); err != nil || major < minMajor {
		return "", fmt.Errorf("version %s is older than %d", m[1], minMajor)
	}
	return string(m[1]), nil
}
