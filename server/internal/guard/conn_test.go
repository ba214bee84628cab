package guard

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A connection is closed when its peer reads nothing for the whole time-out, and stays open while
// the peer reads a little now and then.
func TestStalledConnectionIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const stall = 8 * time.Second
		inner, peer := net.Pipe()
		c := newConnections(1, 1, stall).admit(fakeConn{inner, "192.0.2.1:1"})
		done := make(chan error, 1)
		text := bytes.Repeat([]byte("x"), 100)
		write := func() {
			_, err := c.Write(text)
			done <- err
		}
		go write()
		for range text {
			time.Sleep(stall - time.Second) // the bubble's clock
			if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("write to a peer that reads slowly: %v, want no error", err)
		}
		start := time.Now()
		go write()
		if err := <-done; !errors.Is(err, errStalled) || time.Since(start) != stall {
			t.Errorf("write to a peer that reads nothing: %v after %s, want errStalled after %s", err, time.Since(start), stall)
		}
		if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the peer of a stalled connection reads %v, want EOF", err)
		}
		if c.all.total != 0 {
			t.Errorf("%d connections are counted after the close, want 0", c.all.total)
		}
	})
}

// lateConn is a connection whose first writes miss their deadlines although the peer would read
// everything, as on a machine that does not run the process.
type lateConn struct {
	fakeConn
	misses int
}

func (s *lateConn) Write(p []byte) (int, error) {
	if s.misses--; s.misses >= 0 {
		return 0, &net.OpError{Op: "write", Err: timeout{}}
	}
	return len(p), nil
}

type timeout struct{}

func (timeout) Error() string     { return "timeout" }
func (timeout) Is(err error) bool { return err.Error() == "i/o timeout" }

func TestMissedDeadlinesAreNoStall(t *testing.T) {
	t.Parallel()
	inner, _ := net.Pipe()
	c := newConnections(1, 1, time.Second).admit(&lateConn{fakeConn{inner, "192.0.2.1:1"}, stallChecks - 1})
	if n, err := c.Write([]byte("text")); n != 4 || err != nil {
		t.Errorf("Write = %d, %v after %d missed deadlines; want 4, nil", n, err, stallChecks-1)
	}
}
