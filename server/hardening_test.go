package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/stats"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
)

// Here and in hardening_slow_test.go the clients are hostile, and each time someone else
// is served meanwhile. Floods and bombs are here, clients that are slow on purpose there.

const (
	publish  = "/argus.v1.TaskQueue/Publish"
	consume  = "/argus.v1.TaskQueue/Consume"
	getAll   = "/argus.v1.JobState/GetAll"
	getField = "/argus.v1.JobState/GetField"
	listJobs = "/argus.v1.JobState/List"
	watch    = "/argus.v1.Completion/Watch"
)

func TestStreamFlood(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	a := b.attack(t).listen()
	const tooMany = 500
	for range server.MaxStreams + tooMany {
		_, err := a.open(publish) // and no request
		a.must(0, err)
	}
	a.await("refusals", func(s seen) bool { return len(s.resets) == tooMany })
	stop()
	for stream, code := range a.seen.resets {
		if code != http2.ErrCodeRefusedStream || stream <= 2*server.MaxStreams {
			t.Errorf("stream %d: %v", stream, code)
		}
	}
	if told := a.seen.settings[http2.SettingMaxConcurrentStreams]; told != server.MaxStreams {
		t.Error("clients are told that they may have", told, "streams")
	}
}

// stubborn counts the calls of a method that run at once, and lets none of them end.
type stubborn struct {
	stats.Handler
	method      string
	end         chan struct{}
	enough      int // calls, until full is closed
	full        chan struct{}
	mu          sync.Mutex
	running     int
	most, total int
}

func (s *stubborn) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (s *stubborn) HandleConn(context.Context, stats.ConnStats)                       {}

type methodKey struct{}

func (s *stubborn) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, methodKey{}, info.FullMethodName)
}

func (s *stubborn) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if ctx.Value(methodKey{}) != s.method {
		return
	}
	switch event.(type) {
	case *stats.Begin:
		s.add(1)
		<-s.end
	case *stats.End:
		s.add(-1)
	}
}

func (s *stubborn) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running += n
	if n > 0 {
		s.most = max(s.most, s.running)
		if s.total++; s.total == s.enough {
			close(s.full)
		}
	}
}

// CVE-2023-44487: a stream that is reset is not counted any more, but its handler may run
// on, and the next one begins.
func TestRapidResets(t *testing.T) {
	t.Parallel()
	calls := &stubborn{method: getField, end: make(chan struct{}), full: make(chan struct{}), enough: server.MaxStreams}
	b := setupServer(t, redistest.Embedded(t), redis.BrokerConfig{}, func(c *server.Config) { c.SetStats(calls) })
	a := b.attack(t).listen()
	const all = 3 * server.MaxStreams
	flooded := make(chan error, 1)
	go func() {
		for range all {
			stream, err := a.open("/argus.v1.JobState/GetField")
			if err == nil {
				err = a.WriteRSTStream(stream, http2.ErrCodeCancel)
			}
			if err != nil {
				flooded <- err
				return
			}
		}
		flooded <- nil
	}()
	select {
	case <-calls.full:
	case <-b.ctx.Done():
		t.Fatal("the handlers did not begin")
	}
	// Someone else's calls begin while the attacker's handlers stand.
	for range 20 {
		if _, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "f", Value: "v"}); err != nil {
			t.Error(err)
		}
	}
	close(calls.end)
	if err := <-flooded; err != nil {
		t.Error(err)
	}
	stop := b.witness(t)
	stream, err := a.open(listJobs) // whose answer comes after the flood
	a.must(0, err)
	a.must(0, a.WriteData(stream, true, framed(0, 0, nil)))
	a.awaitCode(stream, codes.OK)
	stop()
	calls.mu.Lock()
	defer calls.mu.Unlock()
	if calls.most > server.MaxStreams {
		t.Errorf("%d handlers ran at once", calls.most)
	}
}

func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	defer stop()
	kib := strings.Repeat("x", 1<<10)
	many := func(n int) []string {
		var fields []string
		for range n {
			fields = append(fields, "x-custom", kib)
		}
		return fields
	}
	t.Run("within the limit", func(t *testing.T) {
		a := b.attack(t).listen()
		stream, err := a.open(listJobs, many(14)...)
		a.must(0, err)
		a.must(0, a.WriteData(stream, true, framed(0, 0, nil)))
		a.awaitCode(stream, codes.OK)
	})
	t.Run("many", func(t *testing.T) {
		a := b.attack(t).listen()
		stream, err := a.open(listJobs, many(17)...)
		a.must(0, err)
		a.await("a reset", func(s seen) bool { return s.resets[stream] == http2.ErrCodeFrameSize })
	})
	// A byte each, for what the server's decoder has in its table.
	t.Run("small when encoded", func(t *testing.T) {
		a := b.attack(t).listen()
		block := a.headers(listJobs, "x-custom", strings.Repeat("x", 3<<10))
		block = append(block, bytes.Repeat([]byte{0x80 | 62}, 12<<10)...) // 36 MiB
		a.must(0, a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block}))
		a.await("a reset", func(s seen) bool { return s.resets[1] == http2.ErrCodeFrameSize })
	})
	t.Run("one that is too long", func(t *testing.T) {
		a := b.attack(t).listen()
		block := a.headers(listJobs, "x-custom", strings.Repeat("?", 24<<10))
		a.must(0, a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:16<<10]}))
		a.must(0, a.WriteContinuation(1, true, block[16<<10:]))
		a.isCutOff()
	})
	t.Run("without an end", func(t *testing.T) {
		a := b.attack(t).listen()
		a.must(0, a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.headers(listJobs)}))
		a.block.Reset()
		block := bytes.Clone(a.headers(listJobs, many(8)...))
		var err error
		for sent := 0; err == nil; sent += len(block) {
			if err = a.WriteContinuation(1, false, block); sent > 64<<20 {
				t.Fatal("the server took 64 MiB of headers")
			}
		}
		a.isCutOff()
	})
}

// zeros is a compression whose every message inflates without an end. It counts how much
// of them was wanted.
type zeros struct{ wanted atomic.Int64 }

var inflating = &zeros{}

func init() { encoding.RegisterCompressor(inflating) }

func (*zeros) Name() string { return "zeros" }
func (*zeros) Compress(io.Writer) (io.WriteCloser, error) {
	return nil, errors.New("there is no way to compress so")
}
func (z *zeros) Decompress(io.Reader) (io.Reader, error) { return z, nil }
func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.wanted.Add(int64(len(p)))
	return len(p), nil
}

// What is no message, or would be too large a one, is refused before it takes memory.
func TestBombs(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	defer stop()
	var mib bytes.Buffer
	zip := gzip.NewWriter(&mib)
	_, _ = zip.Write(make([]byte, 1<<20))
	_ = zip.Close()
	zipped := bytes.Repeat(mib.Bytes(), 50) // gzip can be strung together
	data, before := []byte("data"), inflating.wanted.Load()
	type bomb struct {
		encoding string
		message  []byte
		want     codes.Code
	}
	for name, c := range map[string]bomb{
		"gzip, which the server does not know": {"gzip", framed(1, len(zipped), zipped), codes.Unimplemented},
		"a compression that it knows":          {"zeros", framed(1, 4, data), codes.ResourceExhausted},
		"a length of 4 GiB":                    {"identity", framed(0, 1<<32-1, data), codes.ResourceExhausted},
		"a length beyond the limit":            {"identity", framed(0, server.MaxRequest+1, data), codes.ResourceExhausted},
		"no protobuf":                          {"identity", framed(0, 4, []byte{0xff, 0xff, 0xff, 0xff}), codes.Internal},
		"a field longer than its message":      {"identity", framed(0, 4, []byte{0x0a, 0xff, 0xff, 0x7f}), codes.Internal},
		"compressed, without saying how":       {"identity", framed(1, 4, data), codes.Internal},
		"an unknown format":                    {"identity", framed(7, 4, data), codes.Internal},
		"less than it says":                    {"identity", framed(0, 400, data), codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.attack(t).listen()
			for _, method := range []string{publish, watch, consume, getAll} {
				stream, err := a.open(method, "grpc-encoding", c.encoding)
				a.must(0, err)
				a.writeAll(stream, c.message)
				a.awaitCode(stream, c.want)
			}
		})
	}
	if n := inflating.wanted.Load() - before; n == 0 || n > 8*server.MaxRequest {
		t.Error("of four bombs", n, "bytes were inflated")
	}
}

// writeAll writes a message in frames, and its end.
func (a *attacker) writeAll(stream uint32, message []byte) {
	a.t.Helper()
	for len(message) > 16<<10 {
		a.must(0, a.WriteData(stream, false, message[:16<<10]))
		message = message[16<<10:]
	}
	a.must(0, a.WriteData(stream, true, message))
}

func TestPingFlood(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	a := b.attack(t).listen()
	var err error
	for n := 0; err == nil; n++ {
		if err = a.WritePing(false, [8]byte{}); n > 1_000_000 {
			t.Fatal("the server took a million pings")
		}
	}
	a.isCutOff()
	if a.seen.goAway != "ENHANCE_YOUR_CALM too_many_pings" {
		t.Error("told:", a.seen.goAway)
	}
	stop()
}

// A client that pings as often as it may is not cut off, not even without a call.
func TestPingsOfAnHonestClient(t *testing.T) {
	t.Parallel()
	// Many clients ping every 10 s, and the network brings pings closer together than they were sent.
	if server.MinPing > 7*time.Second {
		t.Error("clients may ping only every", server.MinPing)
	}
	const often = 20 * time.Millisecond
	b := setupServer(t, redistest.Embedded(t), redis.BrokerConfig{}, func(c *server.Config) { c.SetMinPing(often) })
	a := b.attack(t).listen()
	for i := range 10 {
		a.must(0, a.WritePing(false, [8]byte{}))
		a.await("the answer to a ping", func(s seen) bool { return s.pongs > i })
		<-time.After(often) // after the server has taken the last one
	}
	a.awaitCode(a.call(listJobs, &argusv1.ListRequest{}), codes.OK)
}

// Frames that are worth nothing cost as little.
func TestWorthlessFrames(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	t.Cleanup(stop)
	for name, write := range map[string]func(a *attacker, stream uint32) error{
		"SETTINGS":       func(a *attacker, _ uint32) error { return a.WriteSettings() },
		"empty DATA":     func(a *attacker, stream uint32) error { return a.WriteData(stream, false, nil) },
		"stray DATA":     func(a *attacker, _ uint32) error { return a.WriteData(999, false, nil) },
		"WINDOW_UPDATE":  func(a *attacker, stream uint32) error { return a.WriteWindowUpdate(stream, 1) },
		"unknown frames": func(a *attacker, _ uint32) error { return a.WriteRawFrame(0xee, 0, 0, make([]byte, 100)) },
		"stray resets":   func(a *attacker, _ uint32) error { return a.WriteRSTStream(999, http2.ErrCodeCancel) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := b.attack(t).listen()
			stream, err := a.open(listJobs)
			a.must(0, err)
			for range 20_000 {
				a.must(0, write(a, stream))
			}
			// The connection itself still works.
			a.must(0, a.WriteData(stream, true, framed(0, 0, nil)))
			a.awaitCode(stream, codes.OK)
		})
	}
}
