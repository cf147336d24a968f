package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/throughput"
	"github.com/tasklog/tasklog/services/api/wire"
)

// series serves GET /api/throughput.
func (a *API) series(c *gin.Context) {
	queue, window, err := seriesQuery(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	s, fresh, err := a.views.Series(c.Request.Context(), queue, window)
	if err != nil {
		a.fail(c, unusable(err))
		return
	}
	answer(c, http.StatusOK, struct {
		wire.Series
		counted
	}{wire.SeriesOf(queue, window, s), countedOf(fresh)})
}

// defaultWindow is that of a series that nobody gave one.
const defaultWindow = time.Hour

func seriesQuery(c *gin.Context) (queue string, window time.Duration, err error) {
	q, err := query(c, "queue", "window")
	if err != nil {
		return "", 0, err
	}
	window = defaultWindow
	if s := q.Get("window"); s != "" {
		if window, err = parseWindow(s); err != nil || window < time.Minute || window > throughput.MaxWindow {
			return "", 0, &events.FieldError{Field: "window", Reason: "must be from 1m to 7d, such as 15m, 1h, 6h, 24h or 7d"}
		}
	}
	return q.Get("queue"), window, nil
}

// parseWindow reads a duration as Go writes it, or whole days: 7d.
func parseWindow(s string) (time.Duration, error) {
	days, ok := strings.CutSuffix(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 8)
	return time.Duration(n) * 24 * time.Hour, err
}

// names serves GET /api/queues/:queue/names.
func (a *API) names(c *gin.Context) {
	_, err := query(c)
	queue := param(c, "queue")
	if err == nil {
		err = events.ValidateName("queue", queue)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	list, since, fresh, err := a.views.Names(c.Request.Context(), queue)
	if err != nil {
		a.fail(c, unusable(err))
		return
	}
	answer(c, http.StatusOK, struct {
		Queue string      `json:"queue"`
		Since string      `json:"since"`
		Names []wire.Name `json:"names"`
		counted
	}{queue, wire.Stamp(since.UnixMilli()), wire.NamesOf(list), countedOf(fresh)})
}
