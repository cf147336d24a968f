package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// config is what the binary itself can be told; each service has a Config of its own.
type config struct {
	// RedisURL names the Redis that holds the log: redis://, rediss:// (TLS) or unix://. Empty means
	// the Redis that `tasklog dev` started under the data folder, else redis://127.0.0.1:6379/0.
	RedisURL string `env:"TASKLOG_REDIS_URL"`
	// RedisWait is how long a service waits at its start for a Redis that does not answer. Zero means 30 s,
	// less than nothing means not at all.
	RedisWait time.Duration `env:"TASKLOG_REDIS_WAIT" zero:"-1" usage:"how long a service waits at its start for a Redis that does not answer; 0: not at all"`
	// Data is the folder in which `tasklog dev` keeps its Redis. Empty means data.
	Data string `env:"TASKLOG_DATA"`
	// MaxPayload is how many bytes of JSON a payload may have, as the API has it. Zero means 1 MiB.
	MaxPayload int `env:"TASKLOG_MAX_PAYLOAD" usage:"bytes that the payload of a task may have"`
	// MaxMemory is how full Redis may be, in percent, when the CLI gives it a task, as the API has it. Zero means 75.
	MaxMemory int `env:"TASKLOG_MAX_MEMORY" usage:"percent of Redis' maxmemory from which on no task is taken"`
	// InsecureRedis lets services run on a Redis that evicts or is too old.
	InsecureRedis bool `env:"TASKLOG_INSECURE_REDIS"`
	// Handlers is a YAML file with the HTTP targets of `tasklog worker`; see httptarget.
	Handlers string `env:"TASKLOG_HANDLERS"`
	// Archive is the folder or bucket of the log's archive. Empty means that there is none.
	Archive string `env:"TASKLOG_ARCHIVE" usage:"where the archive of the log is: a folder, or a URL such as s3://bucket"`
}

func (c config) withDefaults() config {
	if c.RedisWait == 0 {
		c.RedisWait = 30 * time.Second
	}
	if c.Data == "" {
		c.Data = "data"
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = events.DefaultMaxPayload
	}
	if c.MaxMemory == 0 {
		c.MaxMemory = eventlog.DefaultAdmit
	}
	return c
}

// settings are the environment with the flags laid over it, by variable: one way from either to a Config.
type settings map[string]given

// given is what somebody said that a setting is. An empty value says nothing.
type given struct {
	value string
	by    string // the variable, or the flag with its dashes
}

func parseEnviron(environ []string) settings {
	s := make(settings)
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok {
			s[name] = given{value, name}
		}
	}
	return s
}

// envOf is the annotation of a flag that names its variable.
const envOf = "tasklog-env"

// names says that a flag and a variable are one setting.
func names(flags *pflag.FlagSet, flag, variable string) {
	if err := flags.SetAnnotation(flag, envOf, []string{variable}); err != nil {
		panic(err) // the flag was not defined: a mistake in this program that any run shows
	}
}

// overlay lets the flags that were given win over their variables.
func (s settings) overlay(flags *pflag.FlagSet) {
	flags.Visit(func(f *pflag.Flag) {
		if v := f.Annotations[envOf]; len(v) == 1 {
			s[v[0]] = given{f.Value.String(), "--" + f.Name}
		}
	})
}

// hostname names this machine to people; "" when it has no name.
func hostname() string {
	name, _ := os.Hostname() // a machine without a name is fine
	return name
}
