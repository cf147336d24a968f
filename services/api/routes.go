package api

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tasklog/tasklog/services/api/tokens"
)

// routes is the table of everything that the service answers.
func (a *API) routes(reg *prometheus.Registry) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	// Ids may hold slashes and plus signs: routes are matched on the escaped path, and param unescapes.
	r.UseEscapedPath, r.UnescapePathValues = true, false
	r.RedirectTrailingSlash = false
	r.HandleMethodNotAllowed = true
	_ = r.SetTrustedProxies(nil) // only a list can be wrong
	r.Use(secure, identify, a.observe, a.recover, a.protect)
	r.NoRoute(func(c *gin.Context) { a.fail(c, notFound("there is no such route")) })
	r.NoMethod(func(c *gin.Context) {
		a.fail(c, newProblem(http.StatusMethodNotAllowed, "method-not-allowed", "The route has other methods",
			"it takes "+c.Writer.Header().Get("Allow")))
	})

	// Nothing is open that is not here: whoever asks for health learns nothing else.
	open := r.Group("", deadline)
	get(open, "/healthz", healthz)
	get(open, "/readyz", a.readyz)

	r.GET(streamRoute, a.allow(tokens.Read), a.stream) // without a deadline
	pages := r.Group("", a.allow(tokens.Read))         // each sets its deadline, for it may be a stream
	get(pages, "/admin/queues", a.page(a.overviewPage))
	get(pages, "/admin/queues/:queue", a.page(a.queuePage))
	get(pages, "/admin/tasks", a.page(a.tasksPage))
	get(pages, "/admin/tasks/:id", a.page(a.taskPage))
	get(pages, "/admin/events", a.page(a.eventsPage))
	get(pages, "/admin/workers", a.page(a.workersPage))
	get(pages, "/admin/past", a.stillPage(a.pastPage))
	read := r.Group("", a.allow(tokens.Read), deadline)
	get(read, "/api/tasks", a.listTasks)
	get(read, "/api/tasks/:id", a.task)
	get(read, "/api/queues", a.listQueues)
	get(read, "/api/queues/:queue/names", a.names)
	get(read, "/api/throughput", a.series)
	get(read, "/api/workers", a.listWorkers)
	get(read, "/api/system", a.showSystem)
	get(read, "/metrics", gin.WrapH(promhttp.HandlerFor(reg, promhttp.HandlerOpts{})))
	for _, path := range []string{"/", "/admin", "/admin/", "/admin/queues/"} {
		get(read, path, func(c *gin.Context) { c.Redirect(http.StatusFound, "/admin/queues") })
	}
	get(read, "/admin/queues/tasks/:id", movedTaskPage)
	get(read, "/admin/assets/:file", a.asset)

	r.POST("/api/tasks", a.allow(tokens.Submit), deadline, a.enqueue)
	r.POST(bulkRoute, a.allow(tokens.Submit), a.bulk) // with deadlines of its own
	operate := r.Group("", a.allow(tokens.Operate), deadline)
	operate.POST("/api/tasks/retry", a.retryMany)
	operate.POST("/api/tasks/cancel", a.cancelMany)
	operate.POST("/api/tasks/:id/retry", a.retry)
	operate.POST("/api/tasks/:id/cancel", a.cancel)
	operate.POST("/api/queues/:queue/pause", a.pauseQueue)
	operate.POST("/api/queues/:queue/resume", a.resumeQueue)
	return r
}

// get adds a route for GET and HEAD.
func get(r gin.IRoutes, path string, h gin.HandlerFunc) {
	r.GET(path, h)
	r.HEAD(path, h)
}

// param returns an unescaped part of the path. gin's own unescaping makes a space of a plus sign.
func param(c *gin.Context, name string) string {
	raw := c.Param(name)
	value, err := url.PathUnescape(raw)
	if err != nil {
		return raw // not reached: net/http refuses such a path
	}
	return value
}
