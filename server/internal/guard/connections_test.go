package guard

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// One host may use its share of the connections. Above that share, or above the total, a few
// connections stay open for a while so that their calls can be refused; the others are closed.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newConnections(5, 2, time.Minute)
		admit := func(peer string) *conn {
			inner, _ := net.Pipe()
			return all.admit(fakeConn{inner, peer})
		}
		isRefused := func(peer string) bool {
			c := admit(peer)
			return c != nil && c.refused
		}
		first := admit("192.0.2.1:1")
		admitted := []*conn{first, admit("192.0.2.1:2"), admit("[2001:db8::1]:1"), admit("[2001:db8::2]:1")}
		for _, peer := range []string{"192.0.2.1:3", "[::ffff:192.0.2.1]:4", "[2001:db8::3]:1"} {
			if !isRefused(peer) {
				t.Errorf("a third connection of one host, %s, was not refused", peer)
			}
		}
		admitted = append(admitted, admit("[2001:db8:0:1::1]:1"))
		for i, c := range admitted {
			if c == nil || c.refused {
				t.Errorf("connection %d was refused within the limits", i)
			}
		}
		if !isRefused("192.0.2.9:1") {
			t.Error("a sixth connection was not refused")
		}
		for range 2 * maxRefused {
			admit("192.0.2.9:1")
		}
		if all.refused != maxRefused {
			t.Errorf("%d refused connections are open, want %d", all.refused, maxRefused)
		}
		_ = first.Close()
		_ = first.Close()
		if c := admit("192.0.2.9:1"); c == nil || c.refused {
			t.Error("a connection was refused after another one was closed")
		}
		time.Sleep(refusedTime) // the bubble's clock
		synctest.Wait()
		if all.refused != 0 || all.total != 5 {
			t.Errorf("%d refused and %d admitted connections are open after %s, want 0 and 5", all.refused, all.total, refusedTime)
		}
	})
}
