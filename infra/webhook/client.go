package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ParseURL returns the URL of a webhook, and says what is wrong with one that is none: it must be http
// or https, have a host, and neither a user name nor a fragment.
func ParseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The error of url.Parse repeats the URL, which may hold a password.
		return nil, errors.New("is not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("scheme %q is neither http nor https", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not carry a user name or password: use a header")
	case u.Fragment != "":
		return nil, errors.New("must not have a fragment")
	}
	return u, nil
}

// ErrTooLong reports an answer whose body is longer than the limit.
var ErrTooLong = errors.New("the answer is too long")

// Response is what a server answered.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK reports whether the status is 2xx.
func (r Response) OK() bool { return r.Status >= 200 && r.Status < 300 }

// Cut returns the body as text of at most n bytes, for a message to people.
func (r Response) Cut(n int) string {
	b := bytes.TrimSpace(r.Body)
	if len(b) <= n {
		return string(bytes.ToValidUTF8(b, []byte("\uFFFD")))
	}
	return string(bytes.ToValidUTF8(b[:n], nil)) + " …"
}

// Client sends POST requests. Its methods may be called from many goroutines.
type Client struct {
	http  *http.Client
	limit int64
}

// NewClient returns a client that reads at most limit bytes of an answer's body, and that calls what is
// in the public internet or in allow.
func NewClient(limit int64, allow Allow) *Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second, Control: allow.control}
	return &Client{limit: limit, http: &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			IdleConnTimeout:        60 * time.Second,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    64,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // the limit is of what is sent
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Post sends body and returns the answer, whatever its status. With a secret it adds the signature.
// The header is sent as it is, and Content-Type is application/json where it has none.
//
// The error is an ErrTooLong, beside a Response with the status and the limit's worth of body; or says
// why there is no answer: an ErrForbidden where none was asked for, or that ctx ended.
func (c *Client) Post(ctx context.Context, to string, header http.Header, secret string, body []byte) (Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Response{}, fmt.Errorf("post: %w", err)
	}
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host // net/http ignores it among the headers
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if secret != "" {
		req.Header.Set(SignatureHeader, Sign(secret, time.Now(), body))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the URL may hold a token, and an error ends in the log for ever
		}
		return Response{}, fmt.Errorf("post to %s: %w", req.URL.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer := Response{Status: resp.StatusCode, Header: resp.Header}
	answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, c.limit+1))
	if err != nil {
		return answer, fmt.Errorf("read the answer of %s: %w", req.URL.Host, err)
	}
	if int64(len(answer.Body)) > c.limit {
		answer.Body = answer.Body[:c.limit]
		return answer, fmt.Errorf("%w: %s sent more than %d bytes", ErrTooLong, req.URL.Host, c.limit)
	}
	return answer, nil
}

// Close closes connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }
