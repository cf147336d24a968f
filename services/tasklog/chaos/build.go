package main

import (
	"context"
	"fmt"
	"os/exec"
)

// build compiles the binary with its crash points.
func build(ctx context.Context, binary string, race bool) error {
	args := []string{"build", "-tags", "chaos", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/tasklog/tasklog/services/tasklog")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build tasklog: %w\n%s", err, out)
	}
	return nil
}
