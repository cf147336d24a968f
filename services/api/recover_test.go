package api

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

func TestAPanicIsAProblemAndItsValueIsNotLogged(t *testing.T) {
	var log bytes.Buffer
	a := &API{slog: slog.New(slog.NewTextHandler(&log, nil))}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(a.recover)
	r.GET("/text", func(*gin.Context) { panic("secret payload") })
	r.GET("/error", func(*gin.Context) { panic(errors.New("secret payload")) })
	r.GET("/runtime", func(*gin.Context) { _ = make([]int, 0)[len(log.String()):][1] })
	r.GET("/late", func(c *gin.Context) {
		c.String(http.StatusOK, "half")
		panic("secret payload")
	})
	for path, want := range map[string]int{"/text": 500, "/error": 500, "/runtime": 500, "/late": 200} {
		log.Reset()
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != want || want == 500 && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, %s", path, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String()+log.String(), "secret") || !strings.Contains(log.String(), "recover_test.go") {
			t.Errorf("%s: want the place and not the value: answer %s, log %s", path, w.Body, log.String())
		}
	}
	if log.Len() == 0 {
		t.Error("nothing was logged")
	}
}
