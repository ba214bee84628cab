package client

import (
	"errors"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// connectionFlags has the settings that every client command has: the connection, and the format of
// the output.
type connectionFlags struct {
	settings  *settings.Settings
	addr      string
	tls       settings.TLS
	token     string
	tokenFile string
	format    string
}

func newConnectionFlags(flags *pflag.FlagSet) *connectionFlags {
	return &connectionFlags{settings: settings.New(flags, "context", "YAML file with these settings; default argus/context.yaml in the user's configuration folder")}
}

// declare declares the settings, after the command's own flags, so that the help lists those first.
func (f *connectionFlags) declare() {
	s := f.settings
	s.Text(&f.addr, "addr", settings.DefaultAddr, "address of the server, host:port")
	f.tls.Declare(s, "")
	s.Text(&f.token, "token", "", "bearer token; better in a file")
	s.Text(&f.tokenFile, "token_file", "", "file with the bearer token")
	s.TextP(&f.format, "output", "o", output.Table, "table, json (as grpcurl prints) or jsonl (one line each)")
}

// open resolves the settings and makes the connection for the command called name. The caller
// closes it.
func (f *connectionFlags) open(p *shell.Process, name string) (*Client, error) {
	transport, err := f.resolve(p)
	if err != nil {
		return nil, shell.UsageError(err)
	}
	c := &Client{Process: p, Name: name, Addr: f.addr, addrName: f.settings.Name("addr"), token: f.token, transport: transport,
		Out: output.Printer{To: p.Stdout, Format: f.format, HasColour: output.HasColour(p)}}
	return c, c.connect()
}

// resolve reads the settings, checks them, and prints their warnings.
func (f *connectionFlags) resolve(p *shell.Process) (credentials.TransportCredentials, error) {
	s := f.settings
	s.DefaultFile(defaultContext(p.Env))
	if err := s.Resolve(p.Env); err != nil {
		return nil, err
	}
	if err := s.OneOf("output", f.format, output.Formats...); err != nil {
		return nil, err
	}
	tlsConfig, tlsErr := f.tls.Load(s, "")
	if err := errors.Join(settings.CheckAddr(s.Name("addr"), f.addr, "7233"), s.SecretFile(&f.token, "token", f.tokenFile), tlsErr); err != nil {
		return nil, err
	}
	s.PrintWarnings(p.Stderr)
	switch {
	case tlsConfig != nil:
		return credentials.NewTLS(tlsConfig), nil
	case f.token != "" && !isLoopback(f.addr):
		return nil, shell.Usagef("%s: not sent to %s without TLS; use --tls", s.Name("token"), f.addr)
	}
	return insecure.NewCredentials(), nil
}

// defaultContext is the path of the context file for a user who names none; "" if it is absent.
func defaultContext(env func(string) (string, bool)) string {
	folder, ok := env("XDG_CONFIG_HOME")
	if home, hasHome := env("HOME"); !ok && hasHome {
		folder = filepath.Join(home, ".config")
	}
	path := filepath.Join(folder, "argus", "context.yaml")
	if _, err := os.Stat(path); folder == "" || err != nil {
		return ""
	}
	return path
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
