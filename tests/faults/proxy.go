package main

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy forwards connections to Redis and injects network faults into them.
type proxy struct {
	addr, target string
	listener     net.Listener
	mu           sync.Mutex
	conns        map[net.Conn]bool
	blackhole    atomic.Bool  // no data passes
	dropReplies  atomic.Bool  // a request passes; the connection is closed instead of passing the reply
	latency      atomic.Int64 // of replies, in ns
	partitioned  atomic.Bool  // no data from replicas and sentinels passes
}

// link is a connection through the proxy.
type link struct {
	client, store net.Conn
	fromNode      atomic.Bool // the client is a replica or a sentinel
}

// newProxy starts a proxy that listens on addr and connects to target.
func newProxy(addr, target string) (*proxy, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: listener.Addr().String(), target: target, listener: listener, conns: make(map[net.Conn]bool)}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			store, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.conns[client], p.conns[store] = true, true
			p.mu.Unlock()
			l := &link{client: client, store: store}
			go p.forward(l, client, store, false)
			go p.forward(l, store, client, true)
		}
	}()
	return p, nil
}

// nodeCommands are sent only by replicas and sentinels when they connect. Both start with a lone
// PING.
var nodeCommands = [][]byte{[]byte("REPLCONF"), []byte("PSYNC"), []byte("sentinel"), []byte("*1\r\n$4\r\nPING\r\n")}

// isFromNode reports whether a request comes from a replica or a sentinel.
func isFromNode(text []byte) bool {
	for _, word := range nodeCommands {
		if bytes.Contains(text, word) {
			return true
		}
	}
	return false
}

// forward copies one direction of a link until either side closes it.
func (p *proxy) forward(l *link, from, to net.Conn, isReply bool) {
	defer func() {
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
		_, _ = from.Close(), to.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if !isReply && isFromNode(buffer[:n]) {
			l.fromNode.Store(true)
		}
		for p.blackhole.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		if p.partitioned.Load() && l.fromNode.Load() {
			for p.partitioned.Load() {
				time.Sleep(10 * time.Millisecond)
			}
			return // the data is lost
		}
		if isReply {
			time.Sleep(time.Duration(p.latency.Load()))
			if p.dropReplies.Load() {
				return
			}
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// reset closes all connections.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.blackhole.Store(false)
	p.partitioned.Store(false)
	p.reset()
}
