package settings

import (
	"fmt"
	"net"
	"strings"
)

// DefaultAddr is where a server listens, and where a client expects it.
const DefaultAddr = "localhost:7233"

// CheckAddr checks that an address is host:port; port is the one to suggest. It does not check
// addresses with a scheme or a path.
func CheckAddr(name, addr, port string) error {
	if strings.Contains(addr, "/") {
		return nil
	}
	host, given, err := net.SplitHostPort(addr)
	if err == nil && given != "" {
		return nil
	}
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	if addr == "" || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return fmt.Errorf("%s: %q is not host:port; write it as localhost:%s", name, addr, port)
	}
	return fmt.Errorf("%s: %q lacks the port; write it as %s", name, addr, net.JoinHostPort(host, port))
}

// AddrFlag is the flag, with a space before it, by which a client finds a server at an address; ""
// for the default address.
func AddrFlag(addr string) string {
	if addr == DefaultAddr {
		return ""
	}
	return " --addr " + addr
}
