package conn

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// masterConn is a connection to a node that was the master when it was made.
type masterConn struct {
	*net.TCPConn
	masters *masters
	addr    string
	number  int64
}

// Close closes the connection.
func (c *masterConn) Close() error {
	c.masters.mu.Lock()
	delete(c.masters.conns, c)
	c.masters.mu.Unlock()
	return c.TCPConn.Close()
}

// drop closes connections. A call that waits for a reply on one fails.
func (m *masters) drop(which func(*masterConn) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		if which(c) {
			_ = c.TCPConn.Close()
			delete(m.conns, c)
		}
	}
}

// dial connects to the master. While it is being replaced, it waits for the next one.
func (m *masters) dial(ctx context.Context) (net.Conn, error) {
	addr, err := m.ask(ctx)
	for errors.Is(err, errReplaced) && Pause(ctx, leavingPause) {
		addr, err = m.ask(ctx)
	}
	if err != nil {
		return nil, err
	}
	conn, err := m.dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &masterConn{conn.(*net.TCPConn), m, addr, m.opened.Add(1)}
	m.mu.Lock()
	isMaster := m.newest.addr == addr && m.leaving != addr
	if isMaster {
		m.conns[c] = true
	}
	m.mu.Unlock()
	if !isMaster {
		_ = conn.Close()
		return nil, errReplaced
	}
	return m.secure(ctx, c)
}

// secure begins TLS, if that is configured.
func (m *masters) secure(ctx context.Context, c *masterConn) (net.Conn, error) {
	if m.config.TLS == nil {
		return c, nil
	}
	config := m.config.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(c.addr)
	}
	conn := tls.Client(c, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return conn, nil
}

// refuseReplica refuses a new connection to a node that says it is a replica. A sentinel may
// name one for a moment, and a node that was the master and lost its data may be one already.
func refuseReplica(ctx context.Context, conn *goredis.Conn) error {
	hello, err := conn.Hello(ctx, 2, "", "", "").Result()
	var reply goredis.Error
	if err != nil && !errors.As(err, &reply) {
		return err
	}
	if role, _ := hello["role"].(string); isReplica(role) { // without a role, writes are refused
		return errReplica
	}
	return nil
}

func isReplica(role string) bool { return role == "replica" || role == "slave" }

// demotionHook closes the connections when a node replies that it is no longer the master: all
// that existed when the command was sent, since the driver does not say which one it used. New
// connections ask the sentinels.
type demotionHook struct{ masters *masters }

// DialHook is the driver's interface.
func (demotionHook) DialHook(next goredis.DialHook) goredis.DialHook { return next }

// ProcessHook checks the reply to a command.
func (h demotionHook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, command goredis.Cmder) error {
		last := h.masters.opened.Load()
		err := next(ctx, command)
		h.look(last, command)
		return err
	}
}

// ProcessPipelineHook checks the replies to a pipeline.
func (h demotionHook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, commands []goredis.Cmder) error {
		last := h.masters.opened.Load()
		err := next(ctx, commands)
		h.look(last, commands...)
		return err
	}
}

func (h demotionHook) look(last int64, commands ...goredis.Cmder) {
	if slices.ContainsFunc(commands, isDemoted) {
		h.masters.drop(func(c *masterConn) bool { return c.number <= last })
	}
}

// isDemoted reports whether a replica refused a command, or a master that became one.
func isDemoted(command goredis.Cmder) bool {
	text := ""
	var reply goredis.Error
	if raw, ok := command.(*goredis.RawCmd); ok && bytes.HasPrefix(raw.Val(), []byte("-")) {
		text = string(raw.Val())
	} else if errors.As(command.Err(), &reply) {
		text = reply.Error()
	}
	return strings.Contains(text, "READONLY") || strings.Contains(text, "MASTERDOWN") || strings.Contains(text, "instance state changed")
}
