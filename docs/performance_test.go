package docs_test

import (
	"regexp"
	"strings"
	"testing"
)

func TestThePeersOfThePerformancePageAreThoseThatAreMeasured(t *testing.T) {
	text := strings.Join(strings.Fields(readPage(t, "docs/performance.md").text), " ")
	for _, peer := range []struct{ name, in, version string }{
		{"asynq", "infra/bench/asynq/go.mod", `github.com/hibiken/asynq v(\S+)`},
		{"BullMQ", "infra/bench/bullmq/package.json", `"bullmq": "([^"]+)"`},
	} {
		m := regexp.MustCompile(peer.version).FindStringSubmatch(read(t, peer.in))
		if m == nil {
			t.Fatalf("%s: no version of %s", peer.in, peer.name)
		}
		if want := peer.name + " " + m[1]; !strings.Contains(text, want) {
			t.Errorf("docs/performance.md does not speak of %s, which %s asks for", want, peer.in)
		}
	}
}
