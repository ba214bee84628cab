package server_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// rawClient is a client that writes HTTP/2 frame by frame. It may break every rule.
type rawClient struct {
	*http2.Framer
	t    *testing.T
	b    *bundle
	conn net.Conn

	block bytes.Buffer
	hpack *hpack.Encoder
	next  uint32 // the next stream

	mu    sync.Mutex
	seen  seen
	fresh chan struct{} // closed and replaced when a frame was read
}

// seen is what a raw client has received.
type seen struct {
	begun    map[uint32]bool            // streams with a response, or a part of one
	codes    map[uint32]codes.Code      // of calls that ended, by stream
	resets   map[uint32]http2.ErrCode   // of streams that were reset without a status
	data     map[uint32]int             // bytes
	windows  map[uint32]int             // bytes that the client may send beyond the initial window
	goAway   string                     // the reason of the server's GOAWAY
	ended    error                      // how the connection ended
	settings map[http2.SettingID]uint32 // of the server
	pings    [][8]byte                  // of the server
	pongs    int                        // answers to pings
}

// dial connects and sends nothing.
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

// dialRaw connects and sends the preface and settings of HTTP/2.
func (b *bundle) dialRaw(t *testing.T, settings ...http2.Setting) *rawClient {
	t.Helper()
	raw := &rawClient{t: t, b: b, conn: b.dial(t), next: 1, fresh: make(chan struct{})}
	raw.seen = seen{begun: make(map[uint32]bool), codes: make(map[uint32]codes.Code), resets: make(map[uint32]http2.ErrCode),
		data: make(map[uint32]int), windows: make(map[uint32]int), settings: make(map[http2.SettingID]uint32)}
	raw.Framer = http2.NewFramer(raw.conn, raw.conn)
	raw.AllowIllegalWrites = true
	raw.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	raw.hpack = hpack.NewEncoder(&raw.block)
	raw.must(io.WriteString(raw.conn, http2.ClientPreface))
	raw.must(0, raw.WriteSettings(settings...))
	return raw
}

// must fails the test on an error of a write that the server must accept.
func (raw *rawClient) must(_ int, err error) {
	raw.t.Helper()
	if err != nil {
		raw.t.Fatal(err)
	}
}

// readFrames reads what the server sends until the end of the test. Without it the client reads
// nothing at all.
func (raw *rawClient) readFrames() *rawClient {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			frame, err := raw.ReadFrame()
			if raw.note(frame, err); err != nil && !errors.As(err, new(http2.StreamError)) {
				return
			}
		}
	}()
	raw.t.Cleanup(func() { _ = raw.conn.Close(); <-done })
	return raw
}

func (raw *rawClient) note(frame http2.Frame, err error) {
	raw.mu.Lock()
	defer raw.mu.Unlock()
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		raw.seen.begun[f.StreamID] = true
		for _, field := range f.RegularFields() {
			if n, err := strconv.Atoi(field.Value); err == nil && field.Name == "grpc-status" {
				raw.seen.codes[f.StreamID] = codes.Code(n)
			}
		}
	case *http2.RSTStreamFrame:
		if _, hasStatus := raw.seen.codes[f.StreamID]; !hasStatus {
			raw.seen.resets[f.StreamID] = f.ErrCode
		}
	case *http2.DataFrame:
		raw.seen.data[f.StreamID] += len(f.Data())
	case *http2.WindowUpdateFrame:
		raw.seen.windows[f.StreamID] += int(f.Increment)
	case *http2.GoAwayFrame:
		raw.seen.goAway = f.ErrCode.String() + " " + string(f.DebugData())
	case *http2.PingFrame:
		if f.IsAck() {
			raw.seen.pongs++
		} else {
			raw.seen.pings = append(raw.seen.pings, f.Data)
		}
	case *http2.SettingsFrame:
		_ = f.ForeachSetting(func(s http2.Setting) error { raw.seen.settings[s.ID] = s.Val; return nil })
	case nil:
		raw.seen.ended = err
	}
	close(raw.fresh)
	raw.fresh = make(chan struct{})
}

// await waits until enough was seen.
func (raw *rawClient) await(what string, enough func(seen) bool) {
	raw.t.Helper()
	for {
		raw.mu.Lock()
		isEnough, fresh := enough(raw.seen), raw.fresh
		if !isEnough && raw.seen.ended != nil {
			raw.t.Errorf("the connection ended (%v, %s) instead of: %s", raw.seen.ended, raw.seen.goAway, what)
			isEnough = true
		}
		raw.mu.Unlock()
		if isEnough {
			return
		}
		select {
		case <-fresh:
		case <-raw.b.ctx.Done():
			raw.t.Fatal("not received: ", what)
		}
	}
}

// awaitCode waits for the end of a call and checks its status.
func (raw *rawClient) awaitCode(stream uint32, want codes.Code) {
	raw.t.Helper()
	raw.await("the status of a call", func(s seen) bool {
		code, hasStatus := s.codes[stream]
		if reset, isReset := s.resets[stream]; isReset {
			raw.t.Errorf("stream %d was reset (%v), want %v", stream, reset, want)
			return true
		}
		if hasStatus && code != want {
			raw.t.Errorf("stream %d ended with %v, want %v", stream, code, want)
		}
		return hasStatus
	})
}

// awaitClose waits until the server has closed the connection.
func (raw *rawClient) awaitClose() {
	raw.t.Helper()
	raw.await("the end of the connection", func(s seen) bool { return s.ended != nil })
	raw.mu.Lock()
	defer raw.mu.Unlock()
	if errors.Is(raw.seen.ended, os.ErrDeadlineExceeded) {
		raw.t.Error("the server kept the connection open")
	}
}

// open sends the headers of a call.
func (raw *rawClient) open(method string, fields ...string) (stream uint32, err error) {
	stream = raw.next
	raw.next += 2
	err = raw.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndHeaders: true, BlockFragment: raw.headers(method, fields...)})
	return stream, err
}

// headers encodes the headers of a call, and further ones given as pairs.
func (raw *rawClient) headers(method string, fields ...string) []byte {
	raw.block.Reset()
	fields = append([]string{":method", "POST", ":scheme", "http", ":path", method, ":authority", "x",
		"content-type", "application/grpc", "te", "trailers"}, fields...)
	for i := 0; i < len(fields); i += 2 {
		_ = raw.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return raw.block.Bytes()
}

// call sends a whole unary request.
func (raw *rawClient) call(method string, request proto.Message) uint32 {
	raw.t.Helper()
	stream, err := raw.open(method)
	raw.must(0, err)
	data, err := proto.Marshal(request)
	raw.must(0, err)
	raw.must(0, raw.WriteData(stream, true, framed(0, len(data), data)))
	return stream
}

// writeAll writes a message in frames and ends the stream.
func (raw *rawClient) writeAll(stream uint32, message []byte) {
	raw.t.Helper()
	for len(message) > 16<<10 {
		raw.must(0, raw.WriteData(stream, false, message[:16<<10]))
		message = message[16<<10:]
	}
	raw.must(0, raw.WriteData(stream, true, message))
}

// framed returns data behind a gRPC message header with a format and a length.
func framed(format byte, length int, data []byte) []byte {
	head := binary.BigEndian.AppendUint32([]byte{format}, uint32(length))
	return append(head, data...)
}

const (
	publish  = "/argus.v1.TaskQueue/Publish"
	consume  = "/argus.v1.TaskQueue/Consume"
	getAll   = "/argus.v1.JobState/GetAll"
	getField = "/argus.v1.JobState/GetField"
	listJobs = "/argus.v1.JobState/List"
	watch    = "/argus.v1.Completion/Watch"
)
