package eventlog_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// twisted are fields of entries, most of which no decision writes.
var twisted = [][]string{
	{"type", "TaskDue", "task", "t", "v", "1", "data", `{"queue":"q","attempt":1,"priority":0,"dueAt":5,"from":"waiting"}`},
	{"type", "TaskDue", "task", "t", "v", "1", "data", `{ "queue": "q", "attempt": 1, "dueAt": 5, "from": "waiting" }`},
	{"type", "TaskDue", "task", "ä\r\n$5", "v", "2", "data", `{"queue":"q"}`},
	{"type", "TaskDue", "task", "t", "v", "x", "data", `{"queue":"q"}`},
	{"type", "TaskTwisted", "task", "t", "v", "1", "data", `{}`},
	{"type", "TaskDue", "task", "t", "v", "1", "data", `{`},
	{"data", `{"queue":"q"}`, "v", "1", "task", "t", "type", "TaskDue"},
	{"type", "QueuePaused", "task", "", "v", "1", "data", `{"queue":"q","by":"me"}`, "more", "of it"},
	{"type", "TaskDue", "task", "t", "type", "QueuePaused", "task", "x", "v", "1", "data", `{"queue":"q"}`},
	{"type", "TaskDue", "task", "t", "v", "1"},
	{"note", "\xff\x00"},
	{"", ""},
}

func TestARangeIsReadAsGoRedisWould(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := testredis.Open(t, url, 1)
		p, rdb := log.Partitions()[0], log.Conn().View
		if list, err := log.Range(t.Context(), p, events.ID{}, events.MaxID, 100); err != nil || len(list) != 0 {
			t.Errorf("%v, %v of a log that is not there", list, err)
		}
		for i, fields := range twisted {
			if err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: p.Events, ID: fmt.Sprint(7+i, "-1"), Values: fields}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		sent, err := rdb.Do(t.Context(), "XRANGE", p.Events, "-", "+").Slice()
		if err != nil {
			t.Fatal(err)
		}
		got, err := log.Range(t.Context(), p, events.ID{}, events.MaxID, 100)
		want := eventlog.EntriesOf(sent)
		if err != nil || len(got) != len(twisted) {
			t.Fatalf("%d entries of %d, %v", len(got), len(twisted), err)
		}
		for i, e := range got {
			if !reflect.DeepEqual(e.Event, want[i].Event) || fmt.Sprint(e.Err) != fmt.Sprint(want[i].Err) {
				t.Errorf("%q is\n%#v, want\n%#v", twisted[i], e, want[i])
			}
		}
	})
}

func TestWhatRedisAnswersInPlaceOfARangeIsAnError(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := testredis.Open(t, url, 1)
		p := log.Partitions()[0]
		if err := log.Conn().View.Set(t.Context(), p.Events, "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
		_, err := log.Range(t.Context(), p, events.ID{}, events.MaxID, 100)
		if reply := redis.Error(nil); !errors.As(err, &reply) || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Errorf("%v", err)
		}
	})
}

// FuzzParseEntries holds against any bytes: a reply that is cut or broken is an error, and never a panic.
func FuzzParseEntries(f *testing.F) {
	whole := "*2\r\n*2\r\n$3\r\n1-1\r\n*8\r\n$4\r\ntype\r\n$7\r\nTaskDue\r\n$4\r\ntask\r\n$1\r\nt\r\n$1\r\nv\r\n$1\r\n1\r\n$4\r\ndata\r\n$2\r\n{}\r\n" +
		"*2\r\n$3\r\n1-2\r\n*2\r\n$0\r\n\r\n$1\r\nx\r\n"
	if list, err := eventlog.ParseEntries(whole); err != nil || len(list) != 2 || list[0].Err != nil || list[1].Err == nil {
		f.Fatalf("%v, %v", list, err)
	}
	for i := range whole {
		f.Add(whole[:i])
		if list, err := eventlog.ParseEntries(whole[:i]); err == nil {
			f.Errorf("%q is taken for %v", whole[:i], list)
		}
	}
	for _, s := range []string{"*-1\r\n", "*99999999999\r\n", "*1\r\n*2\r\n$-1\r\n*0\r\n", ":1\r\n", "*1\r\n$1\r\na\r\n", "*1\r\n*2\r\n$3\r\n1-1\r\n*999999999\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := eventlog.ParseEntries(s)
		if err != nil && list != nil {
			t.Errorf("%q: %d entries beside %v", s, len(list), err)
		}
	})
}
