package api

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
)

// query returns the query of a request, which may hold the given names only: a filter that is
// misspelt must not let everything through.
func query(c *gin.Context, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return nil, malformed("the query cannot be read")
	}
	for name := range q {
		if !slices.Contains(names, name) {
			reason := "is unknown: nothing is taken here"
			if len(names) > 0 {
				reason = "is unknown; known are: " + strings.Join(names, ", ")
			}
			return nil, &events.FieldError{Field: quoted(name), Reason: reason}
		}
	}
	return q, nil
}
