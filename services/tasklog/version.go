package main

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker when a release is built.
var release string

// version is the release, else what Go's build recorded.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func (p *program) versionCmd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "version", Short: "Say which version this is", Args: wants(0, 0),
		RunE: func(*cobra.Command, []string) error {
			out := struct {
				Version  string `json:"version"`
				Revision string `json:"revision,omitempty"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{Version: version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						out.Revision = s.Value
					}
				}
			}
			return p.print(out, func(w io.Writer) { say(w, "tasklog %s, %s, %s", out.Version, out.Go, out.Platform) })
		},
	})
}
