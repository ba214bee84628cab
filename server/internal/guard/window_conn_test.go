package guard

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/semaphore"
)

// A grant that gets room while a frame is half written follows that frame at once, not only the
// next frame, which may never come.
func TestGrantFollowsAHalfWrittenFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		ours, theirs := net.Pipe()
		budget := semaphore.NewWeighted(size)
		if !budget.TryAcquire(size) {
			t.Fatal("the budget is too small")
		}
		c := newWindowConn(ours, budget)
		var got bytes.Buffer
		done := make(chan struct{})
		go func() {
			_, _ = io.Copy(&got, theirs)
			close(done)
		}()
		write := func(p []byte) {
			if n, err := c.Write(p); n != len(p) || err != nil {
				t.Errorf("Write = %d, %v; want %d, nil", n, err, len(p))
			}
		}
		grant := []byte{0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0x10, 0, 0} // WINDOW_UPDATE of stream 1, size
		data := []byte{0, 0, 4, 0, 0, 0, 0, 0, 3, 'd', 'a', 't', 'a'}
		write(grant)
		write(data[:11])
		budget.Release(size)
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

// However a stream of frames is cut into writes, what is written is the same, without the
// window updates of large requests.
func TestFramesMayBeWrittenInPieces(t *testing.T) {
	t.Parallel()
	var frames, want []byte
	for stream := range uint32(3) {
		small := windowUpdate(2*stream+1, StreamWindow)
		data := append([]byte{0, 0, 4, 0, 0, 0, 0, 0, byte(2*stream + 1)}, "data"...)
		frames = append(append(append(frames, small...), windowUpdate(2*stream+1, 1<<20)...), data...)
		want = append(append(want, small...), data...)
	}
	for piece := 1; piece <= len(frames); piece++ {
		var got bytes.Buffer
		budget := semaphore.NewWeighted(1 << 20)
		if !budget.TryAcquire(1 << 20) {
			t.Fatal("the budget is too small")
		}
		c := newWindowConn(writerConn{Writer: &got}, budget)
		for rest := frames; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			if _, err := c.Write(rest[:min(piece, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("in pieces of %d bytes: written % x, want % x", piece, got.Bytes(), want)
		}
		_ = c.Close()
	}
}

// writerConn is a connection that can only be written to and closed.
type writerConn struct {
	net.Conn
	io.Writer
}

func (c writerConn) Write(p []byte) (int, error) { return c.Writer.Write(p) }
func (writerConn) Close() error                  { return nil }

func TestIncompleteRequestsOfAConnectionAreBounded(t *testing.T) {
	t.Parallel()
	if most := MaxStreams*StreamWindow + MaxArrivingBytes; most > 64<<20 {
		t.Errorf("%d streams may hold %d bytes of incomplete requests, want 64 MiB at most", MaxStreams, most)
	}
}
