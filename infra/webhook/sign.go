package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader is the header that carries a signature.
const SignatureHeader = "Tasklog-Signature"

// ErrSignature reports a signature that is missing, malformed, too old or not by this secret.
var ErrSignature = errors.New("bad signature")

// Sign returns the signature of a body that is sent at t: "t=1764000000,v1=<hex>".
func Sign(secret string, t time.Time, body []byte) string {
	unix := strconv.FormatInt(t.Unix(), 10)
	return "t=" + unix + ",v1=" + hex.EncodeToString(mac(secret, unix, body))
}

// Verify returns nil when header is the signature of body under secret, made not longer than tolerance
// before or after now. Otherwise it returns an ErrSignature. A receiver that also remembers the
// Idempotency-Key of a request for as long as tolerance is safe from replays.
func Verify(secret, header string, body []byte, now time.Time, tolerance time.Duration) error {
	var unix string
	var sums []string // more than one while a secret is changed
	for part := range strings.SplitSeq(header, ",") {
		switch k, v, _ := strings.Cut(strings.TrimSpace(part), "="); k {
		case "t":
			unix = v
		case "v1":
			sums = append(sums, v)
		}
	}
	sec, err := strconv.ParseInt(unix, 10, 64)
	if err != nil || len(sums) == 0 {
		return fmt.Errorf("%w: want t=<unix seconds>,v1=<hex>", ErrSignature)
	}
	if age := now.Sub(time.Unix(sec, 0)); age.Abs() > tolerance {
		return fmt.Errorf("%w: made %s before now", ErrSignature, age.Round(time.Second))
	}
	want := mac(secret, unix, body)
	for _, s := range sums {
		if have, err := hex.DecodeString(s); err == nil && hmac.Equal(have, want) {
			return nil
		}
	}
	return fmt.Errorf("%w: not of this body by this secret", ErrSignature)
}

func mac(secret, unix string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(unix))
	h.Write([]byte("."))
	h.Write(body)
	return h.Sum(nil)
}
