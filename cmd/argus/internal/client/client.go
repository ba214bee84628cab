// Package client connects client commands to a server: it has their settings, the connection and
// what its errors mean.
package client

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// Client is a connection to a server, with the streams and the output of the command that uses it.
type Client struct {
	*shell.Process
	// Name is the command's, such as "argus queue ls".
	Name string
	Addr string
	Out  output.Printer

	Queue      argusv1.TaskQueueClient
	State      argusv1.JobStateClient
	Completion argusv1.CompletionClient
	Admin      argusv1.AdminClient

	conn      *grpc.ClientConn
	transport credentials.TransportCredentials
	token     string
	addrName  string // as the user wrote the setting
	reached   atomic.Bool
}

// connect makes the connection; the first call uses it.
func (c *Client) connect() error {
	conn, err := c.Dial()
	if err != nil {
		return err
	}
	c.conn = conn
	c.Queue, c.State = argusv1.NewTaskQueueClient(conn), argusv1.NewJobStateClient(conn)
	c.Completion, c.Admin = argusv1.NewCompletionClient(conn), argusv1.NewAdminClient(conn)
	return nil
}

// Close closes the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// AddrFlag is the flag, with a space before it, by which another command finds the same server; ""
// for the default address.
func (c *Client) AddrFlag() string { return settings.AddrFlag(c.Addr) }

// Dial makes one more connection to the server; the first call uses it. The caller closes it.
func (c *Client) Dial(options ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(c.Addr, append(options, grpc.WithTransportCredentials(c.transport),
		grpc.WithUserAgent("argus/"+Release),
		// With a window of its own choice the client sends a ping with each small message, to
		// measure the connection.
		grpc.WithStaticStreamWindowSize(256<<10), grpc.WithStaticConnWindowSize(1<<20),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithChainUnaryInterceptor(c.interceptCall), grpc.WithChainStreamInterceptor(c.interceptStream))...)
	if err != nil {
		return nil, shell.Usagef("%s: %w", c.addrName, err)
	}
	return conn, nil
}

func (c *Client) withToken(ctx context.Context) context.Context {
	if c.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
}

// interceptCall sends the token, and records that the server answers.
func (c *Client) interceptCall(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(c.withToken(ctx), method, req, reply, cc, opts...)
	if !isUnreachable(err) {
		c.SetReached()
	}
	return err
}

// interceptStream sends the token.
func (c *Client) interceptStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return stream(c.withToken(ctx), desc, cc, method, opts...)
}

// SetReached records that the server has answered, for Transient.
func (c *Client) SetReached() { c.reached.Store(true) }
