package httptarget

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"regexp"
	"strings"
)

// traceparent matches the header of W3C Trace Context: version, trace id, span id, flags. Versions to
// come may add more behind a dash.
var traceparent = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$`)

// childOf returns the traceparent of a new span under a parent, or "" when the parent is not valid: a
// broken trace is worse than none.
func childOf(parent string) string {
	m := traceparent.FindStringSubmatch(parent)
	if m == nil || m[1] == "ff" || m[1] == "00" && m[5] != "" ||
		strings.Trim(m[2], "0") == "" || strings.Trim(m[3], "0") == "" {
		return ""
	}
	var span [8]byte
	binary.BigEndian.PutUint64(span[:], rand.Uint64()|1) // never zero, which is invalid
	return "00-" + m[2] + "-" + hex.EncodeToString(span[:]) + "-" + m[4]
}
