package conn

import (
	"bufio"
	"cmp"
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// Connection is one connection to the node that has the keys, beside the driver's pools. It speaks
// RESP3 and is never opened again. Its methods must not be called concurrently.
type Connection struct {
	conn    net.Conn
	in      *bufio.Reader
	addr    string // of the node, "" for a standalone server
	timeout time.Duration
}

// connectionBuffer holds some hundred notifications; a larger reply is read piece by piece.
const connectionBuffer = 32 << 10

// Connect opens a connection, logs in and selects the database. It refuses a replica where the
// master is wanted. The caller must close it.
func (c *Conn) Connect(ctx context.Context) (*Connection, error) {
	addr, err := c.owner(ctx)
	if err != nil {
		return nil, err
	}
	options := c.Config.options().Simple()
	options.Addr = cmp.Or(addr, options.Addr)
	var conn net.Conn
	if c.masters != nil {
		conn, err = c.masters.dial(ctx)
	} else {
		conn, err = goredis.NewDialer(options)(ctx, "tcp", options.Addr)
	}
	if err != nil {
		return nil, err
	}
	n := &Connection{conn: conn, in: bufio.NewReaderSize(conn, connectionBuffer), addr: addr, timeout: c.Config.ReadTimeout}
	hello := resp.Command{"hello", "3"}
	if options.Password != "" {
		hello.Add("auth", cmp.Or(options.Username, "default"), options.Password)
	}
	replies, err := n.exchange(ctx, hello)
	if err == nil {
		err = replies[0].err
	}
	if err == nil && c.masters != nil && strings.Contains(replies[0].raw, "\r\nrole\r\n$7\r\nreplica\r\n") {
		err = errReplica
	}
	if err == nil && options.DB != 0 {
		err = n.Must(ctx, resp.Command{"select", strconv.Itoa(options.DB)})
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Close closes the connection; calls that wait for a reply fail.
func (n *Connection) Close() { _ = n.conn.Close() }

// Must sends a command and fails with its error reply.
func (n *Connection) Must(ctx context.Context, command resp.Command) error {
	refusals, err := n.Send(ctx, command)
	if err == nil {
		err = refusals[0]
	}
	return err
}

// Send sends commands together and returns the error reply to each, nil for another reply: see
// exchange.
func (n *Connection) Send(ctx context.Context, commands ...resp.Command) ([]error, error) {
	replies, err := n.exchange(ctx, commands...)
	if err != nil {
		return nil, err
	}
	refusals := make([]error, len(replies))
	for i, reply := range replies {
		refusals[i] = reply.err
	}
	return refusals, nil
}

// wireReply is a reply as it is on the wire, and its error.
type wireReply struct {
	raw string
	err error
}

// exchange sends commands together and returns the replies. It fails when the connection breaks,
// the time-out passes or ctx ends.
func (n *Connection) exchange(ctx context.Context, commands ...resp.Command) ([]wireReply, error) {
	stop := context.AfterFunc(ctx, n.Close)
	defer stop()
	if err := n.conn.SetDeadline(time.Now().Add(n.timeout)); err != nil {
		return nil, err
	}
	var out []byte
	for _, command := range commands {
		out = resp.AppendCommand(out, command)
	}
	if _, err := n.conn.Write(out); err != nil {
		return nil, err
	}
	replies := make([]wireReply, len(commands))
	for i := range replies {
		raw, err := resp.Read(n.in)
		if err != nil {
			return nil, err
		}
		replies[i].raw = raw
		_, replies[i].err = resp.Parse(raw)
	}
	return replies, n.conn.SetDeadline(time.Time{})
}
