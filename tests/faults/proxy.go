package main

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy stands between Redis and those who talk to it, and breaks what passes through it.
type proxy struct {
	addr, target string
	listener     net.Listener
	mu           sync.Mutex
	conns        map[net.Conn]bool
	hole         atomic.Bool  // nothing passes
	cut          atomic.Bool  // what was asked is passed on, and the connection breaks before the answer
	latency      atomic.Int64 // ns, of what comes back
	// parted: nothing passes of what Redis's own kind say, replicas and sentinels.
	parted atomic.Bool
}

// link is a connection through the proxy.
type link struct {
	client, store net.Conn
	isKin         atomic.Bool // of a replica or a sentinel
}

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
			go p.pass(l, client, store, false)
			go p.pass(l, store, client, true)
		}
	}()
	return p, nil
}

// kinWords are what only replicas and sentinels say when they connect; the first word of
// both is a lone PING.
var kinWords = [][]byte{[]byte("REPLCONF"), []byte("PSYNC"), []byte("sentinel"), []byte("*1\r\n$4\r\nPING\r\n")}

func isKin(text []byte) bool {
	for _, word := range kinWords {
		if bytes.Contains(text, word) {
			return true
		}
	}
	return false
}

func (p *proxy) pass(l *link, from, to net.Conn, isAnswer bool) {
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
		if !isAnswer && isKin(buffer[:n]) {
			l.isKin.Store(true)
		}
		for p.hole.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		if p.parted.Load() && l.isKin.Load() {
			for p.parted.Load() {
				time.Sleep(10 * time.Millisecond)
			}
			return // what was said meanwhile is lost
		}
		if isAnswer {
			time.Sleep(time.Duration(p.latency.Load()))
			if p.cut.Load() {
				return
			}
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// reset breaks all connections.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.hole.Store(false)
	p.parted.Store(false)
	p.reset()
}
