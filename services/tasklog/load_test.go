package main

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/services/worker"
)

// Whoever writes 0 is understood or told, and never given the default in silence; and what the message
// proposes is taken.
func TestNoSettingTakesAZeroForItsDefault(t *testing.T) {
	numbers := 0
	for _, c := range configs() {
		for field, usual := range fields(reflect.ValueOf(c)) {
			name := field.Tag.Get("env")
			set := func(value string) (reflect.Value, error) {
				config := reflect.New(reflect.TypeOf(c)).Elem()
				err := settings{name: {value, name}}.fill(config)
				for f, v := range fields(config) {
					if f.Name == field.Name {
						return v, err
					}
				}
				panic("no such field")
			}
			if !usual.IsZero() {
				text := fmt.Sprint(usual)
				if got, err := set(text); err != nil || usual.Kind() != reflect.Slice && !got.Equal(usual) {
					t.Errorf("%s=%s: %v, %v; want its default", name, text, got, err)
				}
			}
			if !usual.CanInt() {
				continue
			}
			numbers++
			got, err := set("0")
			if err == nil {
				if got.IsZero() && !usual.IsZero() {
					t.Errorf("%s=0 means %v", name, usual)
				}
				continue
			}
			said := regexp.MustCompile(`^TASKLOG_[A-Z_]+: "0" is too little(?:; want one such as (\S+))?`).FindStringSubmatch(err.Error())
			if said == nil || !strings.HasPrefix(said[0], name+":") || (said[1] == "") != usual.IsZero() {
				t.Errorf("%s=0: %v; want the name, and its default as an example", name, err)
			} else if said[1] == "" {
				continue
			} else if _, err := set(said[1]); err != nil {
				t.Errorf("%s: the example is refused: %v", name, err)
			}
		}
	}
	if numbers < 25 {
		t.Errorf("%d settings are numbers, want 25 or more", numbers)
	}
}

func TestAZeroThatMeansSomethingReachesTheConfig(t *testing.T) {
	for variable, want := range map[string]worker.Config{
		"TASKLOG_GRACE":       {Grace: -1},
		"TASKLOG_LOCK_JITTER": {LockJitter: -1},
		"TASKLOG_TIMEOUT":     {},
	} {
		for _, zero := range []string{"0", "0s", "-0ms"} {
			got, err := load[worker.Config](settings{variable: {zero, variable}})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s=%s: %+v, %v; want %+v", variable, zero, got, err, want)
			}
		}
	}
}

func TestASettingThatCannotBeReadIsNamedWithWhatIsWanted(t *testing.T) {
	for _, tt := range []struct {
		load func(settings) error
		name string
		given
		want string
	}{
		{loads[worker.Config], "TASKLOG_LEASE_TTL", given{"30", "TASKLOG_LEASE_TTL"}, `TASKLOG_LEASE_TTL: "30" is no duration; want one such as 30s`},
		{loads[worker.Config], "TASKLOG_CONCURRENCY", given{"abc", "--concurrency"}, `--concurrency: "abc" is no whole number; want one such as 64`},
		{loads[worker.Config], "TASKLOG_CONCURRENCY", given{"1e99", "--concurrency"}, `--concurrency: "1e99" is no whole number; want one such as 64`},
		{loads[worker.Config], "TASKLOG_CONCURRENCY", given{"99999999999999999999", "--concurrency"}, `--concurrency: "99999999999999999999" is out of range; want one such as 64`},
		{loads[worker.Config], "TASKLOG_GRACE", given{"-1s", "--grace"}, `--grace: "-1s" is too little; want one such as 25s`},
		{loads[config], "TASKLOG_INSECURE_REDIS", given{"yes", "TASKLOG_INSECURE_REDIS"}, `TASKLOG_INSECURE_REDIS: "yes" is neither true nor false`},
	} {
		if err := tt.load(settings{tt.name: tt.given}); err == nil || err.Error() != tt.want {
			t.Errorf("%s %s: %v, want %s", tt.name, tt.value, err, tt.want)
		}
	}
	two := settings{"TASKLOG_GRACE": {"abc", "--grace"}, "TASKLOG_LOCK_TRIES": {"x", "TASKLOG_LOCK_TRIES"}}
	want := "TASKLOG_LOCK_TRIES: \"x\" is no whole number; want one such as 3\n--grace: \"abc\" is no duration; want one such as 25s"
	if err := loads[worker.Config](two); err == nil || err.Error() != want {
		t.Errorf("two wrong settings: %v, want %s", err, want)
	}
}

func loads[C any](s settings) error {
	_, err := load[C](s)
	return err
}

func TestAnEmptySettingIsNone(t *testing.T) {
	got, err := load[worker.Config](settings{"TASKLOG_GRACE": {"", "TASKLOG_GRACE"}, "TASKLOG_QUEUES": {"", "--queues"}, "TASKLOG_LEASE_TTL": {"5s", "--lease-ttl"}})
	if want := (worker.Config{LeaseTTL: 5 * time.Second}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
