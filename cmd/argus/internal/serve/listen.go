package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// listen listens at the address of a setting.
func (c *config) listen(key, addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken, perhaps by another argus; stop that one or choose another address with --%s", addr, settings.FlagName(key))
	case err != nil:
		return nil, shell.Usagef("%s: %w", c.settings.Name(key), err)
	}
	return listener, nil
}

// displayAddr is an address as a person would type it: the host that was asked for, with the port
// that the system gave.
func displayAddr(asked string, given net.Addr) string {
	host, _, err := net.SplitHostPort(asked)
	_, port, err2 := net.SplitHostPort(given.String())
	if err != nil || err2 != nil || host == "" {
		return given.String()
	}
	return net.JoinHostPort(host, port)
}

// warnIfOpen warns of a port that other machines can reach.
func warnIfOpen(log *slog.Logger, addr net.Addr, warning string) {
	if !isLocal(addr) {
		log.Warn(warning, "addr", addr.String())
	}
}

// isLocal reports whether only this machine can reach an address.
func isLocal(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}
