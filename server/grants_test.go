package server

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/semaphore"
)

// A grant for which room comes while a frame is half written follows that frame at once, not only
// the next one, which may never come.
func TestGrantFollowsAHalfWrittenFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		ours, theirs := net.Pipe()
		all := semaphore.NewWeighted(size)
		if !all.TryAcquire(size) {
			t.Fatal("no room")
		}
		c := newGrantingConn(ours, all)
		var got bytes.Buffer
		done := make(chan struct{})
		go func() {
			_, _ = io.Copy(&got, theirs)
			close(done)
		}()
		write := func(p []byte) {
			if n, err := c.Write(p); n != len(p) || err != nil {
				t.Error(n, err)
			}
		}
		grant := []byte{0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0x10, 0, 0} // WINDOW_UPDATE of stream 1, size
		data := []byte{0, 0, 4, 0, 0, 0, 0, 0, 3, 'd', 'a', 't', 'a'}
		write(grant)
		write(data[:11])
		all.Release(size)
		synctest.Wait()
		write(data[11:])
		synctest.Wait()
		if want := append(data, grant...); !bytes.Equal(got.Bytes(), want) {
			t.Errorf("written % x, want % x", got.Bytes(), want)
		}
		_ = c.Close()
		<-done
	})
}
