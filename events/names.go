package events

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// The limits of what a client may ask for.
const (
	MaxNameBytes       = 200                  // of a task id, a queue and a task name
	MaxPriority        = 2_097_152            // lower runs first
	MaxAttemptsLimit   = 1_000                // attempts of one task
	MaxDelay           = 366 * 24 * time.Hour // delays, timeouts and backoffs
	DefaultMaxPayload  = 1 << 20              // bytes
	DefaultMaxAttempts = 5
	DefaultQueue       = "default"
	DefaultRetention   = 7 * 24 * time.Hour // how long the row of a task that is over stays
)

// FieldError reports which field of a request is wrong, and why.
type FieldError struct {
	Field  string // as the client wrote it, such as "backoff.jitter"
	Reason string
}

// Error is "field: reason".
func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// ValidateName checks a task id, a queue or a task name, and names the field at fault.
// Any UTF-8 is allowed but control characters and braces: names become parts of Redis keys,
// where braces choose the cluster slot.
func ValidateName(field, s string) error {
	switch {
	case s == "":
		return &FieldError{field, "must not be empty"}
	case len(s) > MaxNameBytes:
		return &FieldError{field, fmt.Sprintf("%d bytes is longer than %d", len(s), MaxNameBytes)}
	case !utf8.ValidString(s):
		return &FieldError{field, "is not valid UTF-8"}
	case s == "." || s == "..":
		return &FieldError{field, "must not be . or ..: no URL can end in that"}
	}
	for _, r := range s {
		if r == '{' || r == '}' || unicode.IsControl(r) || !unicode.IsGraphic(r) {
			return &FieldError{field, fmt.Sprintf("character %q is not allowed: no braces, no control characters", r)}
		}
	}
	return nil
}

// Validate names the first field of a definition that is out of range, if one is.
func (d Definition) Validate() error {
	switch {
	case d.Priority < 0 || d.Priority > MaxPriority:
		return &FieldError{"priority", fmt.Sprintf("%d is not between 0 and %d", d.Priority, MaxPriority)}
	case d.MaxAttempts < 1 || d.MaxAttempts > MaxAttemptsLimit:
		return &FieldError{"maxAttempts", fmt.Sprintf("%d is not between 1 and %d", d.MaxAttempts, MaxAttemptsLimit)}
	case d.TimeoutMs < 0 || d.TimeoutMs > MaxDelay.Milliseconds():
		return &FieldError{"timeoutMs", fmt.Sprintf("%d is not between 0 and %d", d.TimeoutMs, MaxDelay.Milliseconds())}
	}
	return d.Backoff.Validate()
}
