package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// attacker is a client that speaks HTTP/2 frame by frame, and as badly as it likes.
type attacker struct {
	*http2.Framer
	t    *testing.T
	b    *bundle
	conn net.Conn

	block bytes.Buffer
	hpack *hpack.Encoder
	next  uint32 // the next stream

	mu    sync.Mutex
	seen  seen
	fresh chan struct{} // closed and made anew when something was seen
}

// seen is what an attacker was answered.
type seen struct {
	begun    map[uint32]bool            // streams that were answered, if only with headers
	codes    map[uint32]codes.Code      // of calls that ended, by stream
	resets   map[uint32]http2.ErrCode   // of streams that were reset without a status
	data     map[uint32]int             // bytes
	windows  map[uint32]int             // bytes that it may send beyond the first
	goAway   string                     // why the server wants no more of it
	ended    error                      // how the connection ended
	settings map[http2.SettingID]uint32 // what the server asks for
	pings    [][8]byte                  // that want an answer
	pongs    int                        // answers to pings
}

// dial connects without a word.
func (b *bundle) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	deadline, _ := b.ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	return conn
}

// attack connects, and shakes hands.
func (b *bundle) attack(t *testing.T, settings ...http2.Setting) *attacker {
	t.Helper()
	a := &attacker{t: t, b: b, conn: b.dial(t), next: 1, fresh: make(chan struct{})}
	a.seen = seen{begun: make(map[uint32]bool), codes: make(map[uint32]codes.Code), resets: make(map[uint32]http2.ErrCode),
		data: make(map[uint32]int), windows: make(map[uint32]int), settings: make(map[http2.SettingID]uint32)}
	a.Framer = http2.NewFramer(a.conn, a.conn)
	a.AllowIllegalWrites = true
	a.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	a.hpack = hpack.NewEncoder(&a.block)
	a.must(io.WriteString(a.conn, http2.ClientPreface))
	a.must(0, a.WriteSettings(settings...))
	return a
}

// must is for what the server has to put up with.
func (a *attacker) must(_ int, err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// listen has what the server sends read until the test's end. An attacker that does not
// listen does not read at all.
func (a *attacker) listen() *attacker {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			frame, err := a.ReadFrame()
			if a.note(frame, err); err != nil && !errors.As(err, new(http2.StreamError)) {
				return
			}
		}
	}()
	a.t.Cleanup(func() { _ = a.conn.Close(); <-done })
	return a
}

func (a *attacker) note(frame http2.Frame, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		a.seen.begun[f.StreamID] = true
		for _, field := range f.RegularFields() {
			if n, err := strconv.Atoi(field.Value); err == nil && field.Name == "grpc-status" {
				a.seen.codes[f.StreamID] = codes.Code(n)
			}
		}
	case *http2.RSTStreamFrame:
		if _, told := a.seen.codes[f.StreamID]; !told {
			a.seen.resets[f.StreamID] = f.ErrCode
		}
	case *http2.DataFrame:
		a.seen.data[f.StreamID] += len(f.Data())
	case *http2.WindowUpdateFrame:
		a.seen.windows[f.StreamID] += int(f.Increment)
	case *http2.GoAwayFrame:
		a.seen.goAway = f.ErrCode.String() + " " + string(f.DebugData())
	case *http2.PingFrame:
		if f.IsAck() {
			a.seen.pongs++
		} else {
			a.seen.pings = append(a.seen.pings, f.Data)
		}
	case *http2.SettingsFrame:
		_ = f.ForeachSetting(func(s http2.Setting) error { a.seen.settings[s.ID] = s.Val; return nil })
	case nil:
		a.seen.ended = err
	}
	close(a.fresh)
	a.fresh = make(chan struct{})
}

// await waits until the attacker has seen something.
func (a *attacker) await(what string, enough func(seen) bool) {
	a.t.Helper()
	for {
		a.mu.Lock()
		isEnough, fresh := enough(a.seen), a.fresh
		if !isEnough && a.seen.ended != nil {
			a.t.Errorf("the connection ended (%v, %s) instead of: %s", a.seen.ended, a.seen.goAway, what)
			isEnough = true
		}
		a.mu.Unlock()
		if isEnough {
			return
		}
		select {
		case <-fresh:
		case <-a.b.ctx.Done():
			a.t.Fatal("not seen: ", what)
		}
	}
}

// awaitCode waits for how a call ends.
func (a *attacker) awaitCode(stream uint32, want codes.Code) {
	a.t.Helper()
	a.await("the status of a call", func(s seen) bool {
		code, told := s.codes[stream]
		if reset, isReset := s.resets[stream]; isReset {
			a.t.Errorf("stream %d was reset (%v), want %v", stream, reset, want)
			return true
		}
		if told && code != want {
			a.t.Errorf("stream %d ended with %v, want %v", stream, code, want)
		}
		return told
	})
}

// isCutOff waits until the server has closed the connection.
func (a *attacker) isCutOff() {
	a.t.Helper()
	a.await("the end of the connection", func(s seen) bool { return s.ended != nil })
	a.mu.Lock()
	defer a.mu.Unlock()
	if errors.Is(a.seen.ended, os.ErrDeadlineExceeded) {
		a.t.Error("the server kept the connection open")
	}
}

// open sends the headers of a call.
func (a *attacker) open(method string, fields ...string) (stream uint32, err error) {
	stream = a.next
	a.next += 2
	err = a.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndHeaders: true, BlockFragment: a.headers(method, fields...)})
	return stream, err
}

// headers encodes the headers of a call: those of each call, and pairs of more.
func (a *attacker) headers(method string, fields ...string) []byte {
	a.block.Reset()
	fields = append([]string{":method", "POST", ":scheme", "http", ":path", method, ":authority", "x",
		"content-type", "application/grpc", "te", "trailers"}, fields...)
	for i := 0; i < len(fields); i += 2 {
		_ = a.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return a.block.Bytes()
}

// call sends a whole call, without more to follow.
func (a *attacker) call(method string, request proto.Message) uint32 {
	a.t.Helper()
	stream, err := a.open(method)
	a.must(0, err)
	data, err := proto.Marshal(request)
	a.must(0, err)
	a.must(0, a.WriteData(stream, true, framed(0, len(data), data)))
	return stream
}

// framed puts a message's head before data: its format, and the length it claims.
func framed(format byte, length int, data []byte) []byte {
	head := binary.BigEndian.AppendUint32([]byte{format}, uint32(length))
	return append(head, data...)
}

// witness is a client that behaves well while others do not, and must be served: it goes
// on until the returned function is called, and at least once after it was.
func (b *bundle) witness(t *testing.T) (stop func()) {
	t.Helper()
	serve := func(ctx context.Context) bool {
		_, err := b.state.SetField(ctx, &argusv1.SetFieldRequest{JobId: "witness", Field: "f", Value: "v"})
		if err == nil {
			_, err = b.state.GetField(ctx, &argusv1.GetFieldRequest{JobId: "witness", Field: "f"})
		}
		if err != nil && ctx.Err() == nil {
			t.Error("someone who behaves well was not served:", err)
		}
		return err == nil
	}
	if !serve(b.ctx) {
		t.FailNow()
	}
	stopping, done := make(chan struct{}), make(chan struct{})
	tick := time.NewTicker(5 * time.Millisecond)
	go func() {
		defer close(done)
		for last := false; serve(b.ctx) && !last; {
			select {
			case <-stopping:
				last = true
			case <-tick.C:
			}
		}
	}()
	return func() {
		t.Helper()
		tick.Stop()
		close(stopping)
		<-done
	}
}
