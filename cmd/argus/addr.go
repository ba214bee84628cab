package main

import (
	"fmt"
	"net"
	"strings"
)

// checkAddr checks that an address is host:port. An address that names its scheme, or a
// path, is left to what it is for.
func checkAddr(name, addr, port string) error {
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
