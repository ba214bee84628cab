package guard

import (
	"io"
	"runtime"
	"sync/atomic"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// reservedResponse is a response with a reservation.
type reservedResponse struct {
	message   any
	chunkSent func() // is called for each chunk that gRPC no longer needs
	release   func() // returns the reservation; may be called more than once
}

// chunkSize is how much of a response a client must read for its progress to be seen.
const chunkSize = 32 << 10

// responseCodec encodes reserved responses into buffers that report when gRPC no longer needs
// them: they were sent, or the stream was reset. The last one returns the reservation.
type responseCodec struct{ encoding.CodecV2 }

func (c responseCodec) Marshal(v any) (mem.BufferSlice, error) {
	response, ok := v.(*reservedResponse)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	data, err := c.CodecV2.Marshal(response.message)
	if err != nil {
		response.release()
		return nil, err
	}
	defer data.Free()
	pool := &chunkPool{BufferPool: mem.DefaultBufferPool(), response: response}
	// When a stream is reset, gRPC does not always free the buffers that it drops.
	runtime.AddCleanup(pool, func(release func()) { release() }, response.release)
	return pool.split(data)
}

// chunkPool holds the chunks of one response: gRPC returns each to it.
type chunkPool struct {
	mem.BufferPool
	response *reservedResponse
	left     atomic.Int64 // chunks that gRPC still needs
}

// split copies data into chunks of the pool.
func (p *chunkPool) split(data mem.BufferSlice) (mem.BufferSlice, error) {
	reader := data.Reader()
	defer reader.Close()
	chunks := make(mem.BufferSlice, 0, data.Len()/chunkSize+1)
	for left := data.Len(); left > 0; left = reader.Remaining() {
		size := chunkSize
		if left < 2*chunkSize { // gRPC does not pool the smallest buffers, so the last chunk is no small one
			size = left
		}
		buf := p.Get(size)
		if _, err := io.ReadFull(reader, *buf); err != nil {
			return nil, err
		}
		chunks = append(chunks, mem.NewBuffer(buf, p))
	}
	p.left.Store(int64(len(chunks)))
	return chunks, nil
}

// Put takes back a chunk.
func (p *chunkPool) Put(buf *[]byte) {
	p.BufferPool.Put(buf)
	p.response.chunkSent()
	if p.left.Add(-1) == 0 {
		p.response.release()
	}
}
