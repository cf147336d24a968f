package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/services/api"
)

func TestEveryPageOfAFullRedisIsRead(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.project()
	h.must(http.StatusAccepted, h.post(seed))
	h.viewed()
	h.redis.Set(t, "maxmemory", "1")
	for path := range strings.FieldsSeq(`/api/queues /api/queues?at=now /api/queues/default/names /api/tasks /api/tasks?state=delayed
		/api/tasks?q=sendEmail /api/tasks/unique-id-123 /api/throughput /api/workers /api/system
		/admin/queues /admin/queues/default /admin/tasks /admin/tasks/unique-id-123 /admin/workers /admin/events /admin/past`) {
		if r := h.get(path); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}
