package events

import (
	"fmt"
	"math"
	"time"
)

// Backoff says how long to wait before attempt n+1 after attempt n failed. The zero Backoff
// is exponential from 1 s to 1 h with a jitter of 0.2.
type Backoff struct {
	Type       string   `json:"type,omitempty"`       // "exponential" or "fixed"; empty: exponential
	DelayMs    int64    `json:"delayMs,omitempty"`    // 0: 1000
	MaxDelayMs int64    `json:"maxDelayMs,omitempty"` // 0: 3 600 000, or delayMs if that is more
	Jitter     *float64 `json:"jitter,omitempty"`     // 0 … 1; nil: 0.2
}

// The types of a Backoff.
const (
	BackoffExponential = "exponential"
	BackoffFixed       = "fixed"
)

const (
	defaultBackoffDelay    = time.Second
	defaultBackoffMaxDelay = time.Hour
	defaultBackoffJitter   = 0.2
)

// Validate names the field that is wrong, if one is.
func (b Backoff) Validate() error {
	switch {
	case b.Type != "" && b.Type != BackoffExponential && b.Type != BackoffFixed:
		return &FieldError{"backoff.type", fmt.Sprintf("%q is neither %q nor %q", b.Type, BackoffExponential, BackoffFixed)}
	case b.DelayMs < 0 || b.DelayMs > MaxDelay.Milliseconds():
		return &FieldError{"backoff.delayMs", fmt.Sprintf("%d is not between 0 and %d", b.DelayMs, MaxDelay.Milliseconds())}
	case b.MaxDelayMs < 0 || b.MaxDelayMs > MaxDelay.Milliseconds():
		return &FieldError{"backoff.maxDelayMs", fmt.Sprintf("%d is not between 0 and %d", b.MaxDelayMs, MaxDelay.Milliseconds())}
	case b.Jitter != nil && !(*b.Jitter >= 0 && *b.Jitter <= 1):
		return &FieldError{"backoff.jitter", fmt.Sprintf("%v is not between 0 and 1", *b.Jitter)}
	}
	return nil
}

// Delay returns the time to wait after the n-th counted attempt (n >= 1) failed. dice is a
// number in [0,1): with jitter j, the delay is the nominal one times 1-j … 1+j, and never over
// the maximum.
func (b Backoff) Delay(n int, dice float64) time.Duration {
	base, limit, jitter := defaultBackoffDelay, defaultBackoffMaxDelay, defaultBackoffJitter
	if b.DelayMs > 0 {
		base = time.Duration(b.DelayMs) * time.Millisecond
	}
	limit = max(limit, base)
	if b.MaxDelayMs > 0 {
		limit = time.Duration(b.MaxDelayMs) * time.Millisecond
	}
	if b.Jitter != nil {
		jitter = *b.Jitter
	}
	nominal := float64(base)
	if b.Type != BackoffFixed && n > 1 {
		nominal *= math.Pow(2, float64(min(n-1, 62)))
	}
	nominal = min(nominal, float64(limit)) * (1 - jitter + 2*jitter*dice)
	return time.Duration(min(nominal, float64(limit)))
}
