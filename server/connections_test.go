package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// fakeConn is a connection of a peer.
type fakeConn struct {
	net.Conn
	peer string
}

func (c fakeConn) RemoteAddr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", c.peer)
	return addr
}

// A connection is cut off when its peer takes nothing for the whole time-out, and not while
// it takes a little now and then.
func TestStalledConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const stall = 8 * time.Second
		inner, peer := net.Pipe()
		c := newConnections(1, 1, stall).admit(fakeConn{inner, "192.0.2.1:1"})
		done := make(chan error, 1)
		text := bytes.Repeat([]byte("x"), 100)
		go func() {
			_, err := c.Write(text)
			done <- err
		}()
		for range text {
			time.Sleep(stall - time.Second) // the bubble's clock
			if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Error("of a slow reader:", err)
		}
		start := time.Now()
		go func() {
			_, err := c.Write(text)
			done <- err
		}()
		if err := <-done; !errors.Is(err, errStalled) || time.Since(start) != stall {
			t.Error("of one that reads nothing:", err, time.Since(start))
		}
		if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
			t.Error("the connection was not closed:", err)
		}
		if c.all.total != 0 {
			t.Error("its place was not given back")
		}
	})
}

// starved is a connection whose first writes come too late for their deadlines, as on a
// machine that does not run the process, though the peer would take everything.
type starved struct {
	fakeConn
	left int
}

func (s *starved) Write(p []byte) (int, error) {
	if s.left--; s.left >= 0 {
		return 0, &net.OpError{Op: "write", Err: timeout{}}
	}
	return len(p), nil
}

type timeout struct{}

func (timeout) Error() string     { return "timeout" }
func (timeout) Is(err error) bool { return err.Error() == "i/o timeout" }

// A look that comes too late is no verdict.
func TestStarvedConnection(t *testing.T) {
	t.Parallel()
	inner, _ := net.Pipe()
	c := newConnections(1, 1, time.Second).admit(&starved{fakeConn{inner, "192.0.2.1:1"}, stallTicks - 1})
	if n, err := c.Write([]byte("text")); n != 4 || err != nil {
		t.Error(n, err)
	}
}

// One host has its share of the places; beyond its share, or all places, a few connections
// are kept to be refused in words, for a while, and the others closed.
func TestPlacesOfConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newConnections(5, 2, time.Minute)
		admit := func(peer string) *conn {
			inner, _ := net.Pipe()
			return all.admit(fakeConn{inner, peer})
		}
		first := admit("192.0.2.1:1")
		places := []*conn{first, admit("192.0.2.1:2"), admit("[2001:db8::1]:1"), admit("[2001:db8::2]:1")}
		for _, peer := range []string{"192.0.2.1:3", "[::ffff:192.0.2.1]:4", "[2001:db8::3]:1"} {
			if c := admit(peer); c == nil || !c.isRefused {
				t.Error(peer, "has more than its share")
			}
		}
		places = append(places, admit("[2001:db8:0:1::1]:1"))
		for _, c := range places {
			if c == nil || c.isRefused {
				t.Error("refused within the bounds:", c)
			}
		}
		if c := admit("192.0.2.9:1"); c == nil || !c.isRefused {
			t.Error("more than all places were given")
		}
		for range 2 * maxRefused {
			admit("192.0.2.9:1")
		}
		if all.refused != maxRefused {
			t.Error(all.refused, "refused connections are open")
		}
		_ = first.Close()
		_ = first.Close()
		if c := admit("192.0.2.9:1"); c == nil || c.isRefused {
			t.Error("a place that was given up is not free")
		}
		time.Sleep(refusedTime) // the bubble's clock
		synctest.Wait()
		if all.refused != 0 || all.total != 5 {
			t.Error(all.refused, all.total)
		}
	})
}
