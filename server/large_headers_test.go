package server_test

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

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
		raw := b.dialRaw(t).readFrames()
		stream, err := raw.open(listJobs, many(14)...)
		raw.must(0, err)
		raw.must(0, raw.WriteData(stream, true, framed(0, 0, nil)))
		raw.awaitCode(stream, codes.OK)
	})
	t.Run("many", func(t *testing.T) {
		raw := b.dialRaw(t).readFrames()
		stream, err := raw.open(listJobs, many(17)...)
		raw.must(0, err)
		raw.await("a reset", func(s seen) bool { return s.resets[stream] == http2.ErrCodeFrameSize })
	})
	// One byte for each repetition of a header that the decoder's table holds.
	t.Run("small when encoded", func(t *testing.T) {
		raw := b.dialRaw(t).readFrames()
		block := raw.headers(listJobs, "x-custom", strings.Repeat("x", 3<<10))
		block = append(block, bytes.Repeat([]byte{0x80 | 62}, 12<<10)...) // 36 MiB
		raw.must(0, raw.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block}))
		raw.await("a reset", func(s seen) bool { return s.resets[1] == http2.ErrCodeFrameSize })
	})
	t.Run("one that is too long", func(t *testing.T) {
		raw := b.dialRaw(t).readFrames()
		block := raw.headers(listJobs, "x-custom", strings.Repeat("?", 24<<10))
		raw.must(0, raw.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:16<<10]}))
		raw.must(0, raw.WriteContinuation(1, true, block[16<<10:]))
		raw.awaitClose()
	})
	t.Run("without an end", func(t *testing.T) {
		raw := b.dialRaw(t).readFrames()
		raw.must(0, raw.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: raw.headers(listJobs)}))
		raw.block.Reset()
		block := bytes.Clone(raw.headers(listJobs, many(8)...))
		var err error
		for sent := 0; err == nil; sent += len(block) {
			if err = raw.WriteContinuation(1, false, block); sent > 64<<20 {
				t.Fatal("the server took 64 MiB of headers")
			}
		}
		raw.awaitClose()
	})
}
