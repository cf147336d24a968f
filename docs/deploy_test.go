package docs_test

import (
	"debug/elf"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// compose is what the tests look at in docker-compose.yml.
type compose struct {
	Services map[string]struct {
		Build       string            `yaml:"build"`
		Image       string            `yaml:"image"`
		Command     []string          `yaml:"command"`
		Environment map[string]string `yaml:"environment"`
		Ports       []string          `yaml:"ports"`
		Restart     string            `yaml:"restart"`
		Grace       string            `yaml:"stop_grace_period"`
		Health      struct {
			Test []string `yaml:"test"`
		} `yaml:"healthcheck"`
		Deploy struct {
			Replicas int `yaml:"replicas"`
		} `yaml:"deploy"`
	} `yaml:"services"`
}

func readCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	if err := yaml.Unmarshal([]byte(read(t, "docker-compose.yml")), &c); err != nil {
		t.Fatal(yaml.FormatError(err, false, true))
	}
	return c
}

func TestComposeRunsEveryServiceAndPublishesTheAPIOnLoopbackOnly(t *testing.T) {
	c := readCompose(t)
	known := settings(t)
	want := []string{"api", "projector", "redis", "scheduler", "worker"}
	if have := slices.Sorted(maps.Keys(c.Services)); !slices.Equal(have, want) {
		t.Fatalf("services %v, want %v", have, want)
	}
	for name, s := range c.Services {
		grace, err := time.ParseDuration(s.Grace)
		if err != nil || grace <= 27*time.Second || s.Restart == "" || len(s.Health.Test) < 2 {
			t.Errorf("%s: want a grace period beyond the worker's, a restart policy and a health check: %+v", name, s)
		}
		if wantPorts := name == "api"; (len(s.Ports) > 0) != wantPorts {
			t.Errorf("%s publishes %v", name, s.Ports)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s beyond this machine", name, port)
			}
		}
		if name == "api" && s.Environment["TASKLOG_INSECURE_OPEN"] == "true" && s.Environment["TASKLOG_HOSTS"] == "" {
			t.Errorf("the API is open and answers to any name: %v", s.Environment)
		}
		for v := range s.Environment {
			if !slices.Contains(known, v) {
				t.Errorf("%s: %s is no setting", name, v)
			}
		}
		if name == "redis" {
			continue
		}
		if out, err := tasklog(t, t.TempDir(), append(slices.Clone(s.Command), "--help")...); err != nil || s.Command[0] != name {
			t.Errorf("%s: tasklog %v: %v, %s", name, s.Command, err, out)
		}
		if s.Build == "" || !slices.Equal(s.Health.Test, []string{"CMD", "/tasklog", "health"}) || s.Environment["TASKLOG_REDIS_URL"] == "" {
			t.Errorf("%s is not built from here, or asks for no health, or has no Redis: %+v", name, s)
		}
	}
	if n := c.Services["worker"].Deploy.Replicas; n != 3 {
		t.Errorf("%d workers, want 3", n)
	}
	redis := strings.Join(c.Services["redis"].Command, " ")
	for _, want := range []string{"--appendonly yes", "--maxmemory-policy noeviction"} {
		if !strings.Contains(redis, want) {
			t.Errorf("redis runs as %q, want %s", redis, want)
		}
	}
}

// A service is asked for its health by the very command and variables of the compose file.
func TestTheHealthCheckOfComposeAnswersForEachService(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.dev(t)
	url := h.redisURL(t)
	for name, s := range readCompose(t).Services {
		if name == "redis" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			free := h.start(t, []string{
				"TASKLOG_REDIS_URL=" + url, "TASKLOG_ADDR=127.0.0.1:0", "TASKLOG_HEALTH_ADDR=127.0.0.1:0",
			}, "bin/tasklog", s.Command...)
			addr := free.says(t, `"addr":"([^"]+)"`)
			out, err := tasklog(t, h.dir, append(s.Health.Test[2:], "--addr", addr)...)
			if err != nil || !strings.Contains(out, "ready") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestTheImageHoldsAStaticBinaryThatKnowsItsVersion(t *testing.T) {
	f, err := elf.Open(filepath.Join(programs(t), "tasklog"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary needs a dynamic linker")
		}
	}
	if out, err := tasklog(t, t.TempDir(), "version"); err != nil || !strings.Contains(out, "v0.0.0-docs") {
		t.Errorf("%v: %s", err, out)
	}
	if last := regexp.MustCompile(`(?m)^FROM (\S+)$`).FindStringSubmatch(read(t, "Dockerfile")); last == nil || !strings.HasSuffix(last[1], ":nonroot") {
		t.Errorf("the image's user may be root: %v", last)
	}
}

// composeCommand matches a command for services, with their names at its end.
var composeCommand = regexp.MustCompile(`docker compose (?:stop|logs|ps|exec|restart)((?: (?:--?[a-z][a-z-]*(?:=\S+)?|[a-z]+))*)`)

func TestEveryComposeCommandNamesServices(t *testing.T) {
	services := readCompose(t).Services
	n := 0
	for _, p := range readPages(t) {
		for _, m := range composeCommand.FindAllStringSubmatch(p.text, -1) {
			for _, word := range strings.Fields(m[1]) {
				if strings.HasPrefix(word, "-") {
					continue
				}
				n++
				if _, ok := services[word]; !ok {
					t.Errorf("%s: %s: there is no service %s", p.path, m[0], word)
				}
				if strings.Contains(m[0], " exec ") {
					break // what follows is the command
				}
			}
		}
	}
	if n == 0 {
		t.Error("no page says what to do with the services of the compose file")
	}
}
