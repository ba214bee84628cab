package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// client is what every client command has: where the server is, and how to print.
type client struct {
	*settings
	*program

	Addr      string
	TLS       tlsFiles
	Token     string
	TokenFile string
	Output    string

	command *cobra.Command
	// reached: the server has answered a call.
	reached   atomic.Bool
	transport credentials.TransportCredentials
	conn      *grpc.ClientConn
	queue     argusv1.TaskQueueClient
	state     argusv1.JobStateClient
	done      argusv1.CompletionClient
	admin     argusv1.AdminClient
}

// command makes a client command. do runs with an open connection.
func (p *program) command(c *cobra.Command, do func(ctx context.Context, c *client, args []string) error) (*cobra.Command, *client) {
	cl := &client{program: p, command: c, settings: newSettings(c.Flags(), "context", "YAML file with these settings; default argus/context.yaml in the user's configuration folder")}
	c.RunE = func(command *cobra.Command, args []string) error {
		if err := cl.open(); err != nil {
			return err
		}
		defer cl.conn.Close()
		ctx := command.Context()
		err := do(ctx, cl, args)
		var coded codedError
		if err != nil && ctx.Err() != nil && !errors.As(err, &coded) {
			return codedError{code: exitInterrupted, err: errors.New("interrupted")}
		}
		return cl.told(err)
	}
	return c, cl
}

// outputs are the values of --output.
var outputs = []string{"table", "json", "jsonl"}

// connection declares the settings of the connection and the output. It is called after
// the command's own flags, so that help lists those first.
func (c *client) connection() {
	c.text(&c.Addr, "addr", defaultAddr, "address of the server, host:port")
	c.TLS.declare(c.settings, "")
	c.text(&c.Token, "token", "", "bearer token; better in a file")
	c.text(&c.TokenFile, "token_file", "", "file with the bearer token")
	name, help := c.add("output", "table, json (as grpcurl prints) or jsonl (one line each)")
	c.flags.StringVarP(&c.Output, name, "o", "table", help)
	c.annotate("output")
	if c.flags.Lookup("queue") != nil {
		c.completeQueues(c.command, false)
	}
}

// open reads the settings and makes the connection; it is used when a call is made.
func (c *client) open() error {
	if !c.flags.Changed(c.fileFlag) {
		c.file = defaultContext(c.env)
	}
	if err := c.resolve(c.env); err != nil {
		return usageError(err)
	}
	if !slices.Contains(outputs, c.Output) {
		return usageError(fmt.Errorf("%s: %q is not one of %s", c.name("output"), c.Output, strings.Join(outputs, ", ")))
	}
	tlsConfig, err1 := c.TLS.load(c.settings, "")
	err := errors.Join(checkAddr(c.name("addr"), c.Addr, "7233"), c.secretFile(&c.Token, "token", c.TokenFile), err1)
	if err != nil {
		return usageError(err)
	}
	c.printWarnings(c.settings)
	if c.Token != "" && tlsConfig == nil && !isLoopback(c.Addr) {
		return usageError(fmt.Errorf("%s: not sent to %s without TLS; use --tls", c.name("token"), c.Addr))
	}
	c.transport = insecure.NewCredentials()
	if tlsConfig != nil {
		c.transport = credentials.NewTLS(tlsConfig)
	}
	if c.conn, err = c.dial(); err != nil {
		return err
	}
	c.queue, c.state = argusv1.NewTaskQueueClient(c.conn), argusv1.NewJobStateClient(c.conn)
	c.done, c.admin = argusv1.NewCompletionClient(c.conn), argusv1.NewAdminClient(c.conn)
	return nil
}

// dial makes a connection; it is used when a call is made.
func (c *client) dial(options ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(c.Addr, append(options, grpc.WithTransportCredentials(c.transport),
		grpc.WithUserAgent("argus/"+release),
		// Else the client pings the server with each small message, to find out what the line holds.
		grpc.WithStaticStreamWindowSize(256<<10), grpc.WithStaticConnWindowSize(1<<20),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithChainUnaryInterceptor(c.unaryToken), grpc.WithChainStreamInterceptor(c.streamToken))...)
	if err != nil {
		return nil, usageError(fmt.Errorf("%s: %w", c.name("addr"), err))
	}
	return conn, nil
}

// defaultContext is the context file that is used when none is named, if it is there.
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

func (c *client) withToken(ctx context.Context) context.Context {
	if c.Token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.Token)
}

func (c *client) unaryToken(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(c.withToken(ctx), method, req, reply, cc, opts...)
	if !isUnreachable(err) {
		c.reached.Store(true)
	}
	return err
}

func (c *client) streamToken(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return stream(c.withToken(ctx), desc, cc, method, opts...)
}

// told turns the status of a call into one line for people and an exit code.
func (c *client) told(err error) error {
	var coded codedError
	if err == nil || errors.As(err, &coded) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	if isUnreachable(err) {
		cause := s.Message()
		cause = strings.TrimSuffix(cause[strings.LastIndex(cause, ": ")+1:], `"`)
		return codedError{code: exitUnavailable, err: fmt.Errorf("can't reach %s (%s). Is argus serve, or argus dev, running there? --addr names another server",
			c.Addr, strings.TrimSpace(cause))}
	}
	code := exitError
	switch s.Code() {
	case codes.NotFound:
		code = exitNotFound
	case codes.Unauthenticated, codes.PermissionDenied:
		code = exitDenied
	case codes.Unavailable:
		code = exitUnavailable
	case codes.InvalidArgument:
		code = exitUsage
	}
	return codedError{code: code, err: fmt.Errorf("%s (%s)", oneLine(s.Message()), reason(s))}
}

// reason is the error's reason as the contract names it, or gRPC's code.
func reason(s *status.Status) string {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return strings.ToUpper(s.Code().String())
}

// about is what an error says of its subject.
func about(err error) map[string]string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetMetadata()
		}
	}
	return nil
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// isReason is true of an error with that reason.
func isReason(err error, name string) bool {
	s, ok := status.FromError(err)
	return ok && err != nil && reason(s) == name
}

// isUnreachable is true of a call that found no server.
func isUnreachable(err error) bool {
	s, ok := status.FromError(err)
	return ok && err != nil && s.Code() == codes.Unavailable && len(s.Details()) == 0
}

// transient is true of a failure that the same call may not have a moment later. A server
// that never answered is not waited for: more likely the address is wrong.
func (c *client) transient(err error) bool {
	if isUnreachable(err) {
		return c.reached.Load()
	}
	return status.Code(err) == codes.Unavailable || isReason(err, "SLOW_READER") || isReason(err, "QUEUE_FULL")
}
