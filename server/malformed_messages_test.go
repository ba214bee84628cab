package server_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// zeros is a compression whose messages inflate without end. It counts the inflated bytes.
type zeros struct{ inflated atomic.Int64 }

var inflating = &zeros{}

func init() { encoding.RegisterCompressor(inflating) }

func (*zeros) Name() string { return "zeros" }

func (*zeros) Compress(io.Writer) (io.WriteCloser, error) {
	return nil, errors.New("zeros cannot compress")
}

func (z *zeros) Decompress(io.Reader) (io.Reader, error) { return z, nil }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.inflated.Add(int64(len(p)))
	return len(p), nil
}

// A message that is malformed or too large is refused before it takes memory.
func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	defer stop()
	var mib bytes.Buffer
	zip := gzip.NewWriter(&mib)
	_, _ = zip.Write(make([]byte, 1<<20))
	_ = zip.Close()
	zipped := bytes.Repeat(mib.Bytes(), 50) // gzip can be strung together
	data, before := []byte("data"), inflating.inflated.Load()
	type message struct {
		encoding string
		message  []byte
		want     codes.Code
	}
	for name, c := range map[string]message{
		"gzip, which the server does not know": {"gzip", framed(1, len(zipped), zipped), codes.Unimplemented},
		"a compression that it knows":          {"zeros", framed(1, 4, data), codes.ResourceExhausted},
		"a length of 4 GiB":                    {"identity", framed(0, 1<<32-1, data), codes.ResourceExhausted},
		"a length beyond the limit":            {"identity", framed(0, guard.MaxRequestBytes+1, data), codes.ResourceExhausted},
		"no protobuf":                          {"identity", framed(0, 4, []byte{0xff, 0xff, 0xff, 0xff}), codes.Internal},
		"a field longer than its message":      {"identity", framed(0, 4, []byte{0x0a, 0xff, 0xff, 0x7f}), codes.Internal},
		"compressed, without an encoding":      {"identity", framed(1, 4, data), codes.Internal},
		"an unknown format":                    {"identity", framed(7, 4, data), codes.Internal},
		"less than its length":                 {"identity", framed(0, 400, data), codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			raw := b.dialRaw(t).readFrames()
			for _, method := range []string{publish, watch, consume, getAll} {
				stream, err := raw.open(method, "grpc-encoding", c.encoding)
				raw.must(0, err)
				raw.writeAll(stream, c.message)
				raw.awaitCode(stream, c.want)
			}
		})
	}
	if n := inflating.inflated.Load() - before; n == 0 || n > 8*guard.MaxRequestBytes {
		t.Errorf("%d bytes of four messages were inflated, want some and at most %d", n, 8*guard.MaxRequestBytes)
	}
}
