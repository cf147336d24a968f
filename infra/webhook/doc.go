// Package webhook is how Tasklog calls other people's HTTP servers: signed POST requests by a client
// that goes where its operator said and nowhere else.
//
// # The signature
//
// With a secret, a request has the header
//
//	Tasklog-Signature: t=1764000000,v1=5257a869e7…
//
// where t is the time of sending in Unix seconds, and v1 the HMAC-SHA256 in hex, under the secret, of
// t, a full stop, and the body as it was sent. Verify checks one in Go; elsewhere it is a line or two:
//
//	printf '%s.%s' "$t" "$body" | openssl dgst -sha256 -hmac "$secret"
//
// # Guarantees
//
// A URL is http or https and carries no user name. A redirect is not followed but returned, and a
// proxy is not used, whatever the environment says. An answer is read up to a limit and no further.
//
// A request goes to an address of the public internet, or to one that Allow names: what a name means is
// checked when it is called. Link-local addresses, where clouds keep their metadata, are never called.
package webhook
