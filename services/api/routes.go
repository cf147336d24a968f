package api

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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

	// An event stream has no deadline; everything else has.
	r.GET(streamRoute, a.stream)
	r.Use(deadline)
	get := func(path string, h gin.HandlerFunc) {
		r.GET(path, h)
		r.HEAD(path, h)
	}
	r.POST("/api/tasks", a.enqueue)
	get("/api/tasks", a.listTasks)
	get("/api/tasks/:id", a.task)
	r.POST("/api/tasks/:id/retry", a.retry)
	r.POST("/api/tasks/:id/cancel", a.cancel)
	get("/api/queues", a.listQueues)
	r.POST("/api/queues/:queue/pause", a.pauseQueue)
	r.POST("/api/queues/:queue/resume", a.resumeQueue)

	for _, path := range []string{"/", "/admin", "/admin/", "/admin/queues/"} {
		get(path, func(c *gin.Context) { c.Redirect(http.StatusFound, "/admin/queues") })
	}
	get("/admin/queues", a.queuesPage)
	get("/admin/queues/tasks/:id", a.taskPage)
	get("/admin/assets/:file", a.asset)

	get("/healthz", healthz)
	get("/readyz", a.readyz)
	get("/metrics", gin.WrapH(promhttp.HandlerFor(reg, promhttp.HandlerOpts{})))
	return r
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
