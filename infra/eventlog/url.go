package eventlog

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/redis/go-redis/v9"
)

// parseURL reads a Redis URL, and the files that it names. Its errors do not repeat the password.
func parseURL(raw string) (*redis.Options, error) {
	if raw == "" {
		return nil, errors.New("there is none")
	}
	u, err := url.Parse(raw)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the error itself repeats the URL
		}
		return nil, err
	}
	q := u.Query()
	ca, cert, key := q.Get("ca"), q.Get("cert"), q.Get("key")
	for _, name := range []string{"ca", "cert", "key"} { // go-redis takes none that it does not know
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	if o.TLSConfig == nil {
		if ca+cert+key != "" {
			return nil, errors.New("ca, cert and key are for rediss://")
		}
		return o, nil
	}
	o.TLSConfig.MinVersion = tls.VersionTLS12
	if ca != "" {
		if o.TLSConfig.RootCAs, err = authorities(ca); err != nil {
			return nil, err
		}
	}
	if cert+key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("cert and key: %w", err)
		}
		o.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return o, nil
}

// authorities reads certificates from a PEM file.
func authorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca: %s holds no certificate", path)
	}
	return pool, nil
}
