package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// ErrForbidden reports an address that no request goes to: one that is not of the public internet and
// that the operator did not allow, or one that nobody can allow.
var ErrForbidden = errors.New("forbidden address")

// Allow is the networks beyond the public internet that requests may go to, such as 127.0.0.1/32. The
// zero Allow has none.
type Allow []netip.Prefix

// ParseAllow reads networks such as 10.0.0.0/8, and addresses, which stand for themselves alone.
func ParseAllow(list []string) (Allow, error) {
	var a Allow
	for _, text := range list {
		text = strings.TrimSpace(text)
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.Zone() != "" {
				return nil, fmt.Errorf("%q is neither a network such as 10.0.0.0/8 nor an address", text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is an IPv4 address in the form of IPv6: write it as IPv4", text)
		}
		a = append(a, prefix)
	}
	return a, nil
}

// closed is where no request goes, whatever is allowed: what is no host, and link-local addresses and
// the few others at which clouds give credentials to whoever asks.
var closed = prefixes(
	"0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", "::/128", "fe80::/10", "ff00::/8", "fd00:ec2::/32",
)

// private is where requests go only if that is allowed: what the special-purpose address registries
// (RFC 6890) keep out of the public internet, what tunnels out of it, and IPv6 beside 2000::/3, where all of it lies.
var private = prefixes(
	"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"::/3", "2001::/23", "2001:db8::/32", "3fff::/20", "4000::/2", "8000::/1",
)

func prefixes(list ...string) Allow {
	a, err := ParseAllow(list)
	if err != nil {
		panic(err) // a mistake in this file that any run shows
	}
	return a
}

func (a Allow) contains(addr netip.Addr) bool {
	return slices.ContainsFunc(a, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Check returns an ErrForbidden for an address that no request may go to. An IPv4 address counts as
// such in every form: mapped, translated, behind NAT64 and in 6to4.
func (a Allow) Check(addr netip.Addr) error {
	addr = addr.WithZone("").Unmap()
	if v4, ok := embedded(addr); ok {
		addr = v4
	}
	switch {
	case !addr.IsValid() || closed.contains(addr):
		return fmt.Errorf("%w: %s can never be called", ErrForbidden, addr)
	case private.contains(addr) && !a.contains(addr):
		return fmt.Errorf("%w: %s is not of the public internet, and no network of allow has it (in the handlers file, or --allow of the relay)", ErrForbidden, addr)
	}
	return nil
}

// embedded returns the IPv4 address that packets to an IPv6 address end at.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr), // RFC 6052
		netip.MustParsePrefix("64:ff9b:1::/48").Contains(addr),  // RFC 8215
		netip.MustParsePrefix("::ffff:0:0:0/96").Contains(addr): // RFC 2765
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case netip.MustParsePrefix("2002::/16").Contains(addr): // RFC 3056
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// CheckHost is Check for the host of a URL where that is known without asking: an address, or
// localhost. Any other name is checked when it is called, by what it means then.
func (a Allow) CheckHost(host string) error {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		if a.Check(netip.IPv6Loopback()) == nil {
			return nil
		}
		return a.Check(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		return a.Check(addr)
	}
	return nil
}

// control refuses a connection before its first packet. It sees the address that will really be
// called, so neither a name that resolves to it nor one that changes its mind gets around the check.
func (a Allow) control(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrForbidden, address)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrForbidden, address)
	}
	return a.Check(addr)
}
