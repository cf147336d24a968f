package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/services/api/tokens"
)

// ErrOpen reports an API that would be open to whoever reaches it.
var ErrOpen = errors.New("an API beyond loopback needs tokens: name a file with --tokens or TASKLOG_TOKENS " +
	"(`tasklog token new` makes one), or where something in front of it knows who may ask, set TASKLOG_INSECURE_OPEN=true")

// tokenKey is where gin keeps the token of a request.
const tokenKey = "token"

// allow lets a request through whose token has a scope. Without a file of tokens it lets all through.
func (a *API) allow(scope tokens.Scope) gin.HandlerFunc {
	return func(c *gin.Context) {
		if a.tokens == nil {
			return
		}
		t, ok := a.tokens.Find(secretOf(c.Request))
		if !ok {
			challenge := `Bearer realm="tasklog"`
			if strings.HasPrefix(c.Request.URL.Path, "/admin") || c.Request.URL.Path == "/" {
				challenge = `Basic realm="Tasklog: the password is a token", charset="UTF-8"` // browsers ask for that one
			}
			c.Header("WWW-Authenticate", challenge)
			a.fail(c, newProblem(http.StatusUnauthorized, "unauthorized", "A token is needed",
				"want Authorization: Bearer with a token that the service knows, or Basic with it as the password"))
			return
		}
		if !t.Allows(scope) {
			c.Header("WWW-Authenticate", fmt.Sprintf(`Bearer realm="tasklog", error="insufficient_scope", scope=%q`, scope))
			a.fail(c, newProblem(http.StatusForbidden, "forbidden", "The token does not allow it",
				fmt.Sprintf("this takes the scope %s, and the token %q has not got it", scope, t.Name)))
			return
		}
		c.Set(tokenKey, t)
	}
}

// secretOf returns what a request gives for a token: RFC 6750 for programs, and the password of RFC
// 7617, whatever the user name, for browsers. A URL is no place for a secret.
func secretOf(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

// by is who asks, as the events of a cancellation, a retry or a pause record it: "api", and the name
// of the token if there is one.
func by(c *gin.Context) string {
	if v, ok := c.Get(tokenKey); ok {
		if t, ok := v.(tokens.Token); ok {
			return "api:" + t.Name
		}
	}
	return "api"
}
