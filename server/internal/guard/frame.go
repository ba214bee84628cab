package guard

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

const frameHeaderSize = 9

// frameHeader is the start of an HTTP/2 frame.
type frameHeader [frameHeaderSize]byte

func (h *frameHeader) length() int            { return int(h[0])<<16 | int(h[1])<<8 | int(h[2]) }
func (h *frameHeader) kind() http2.FrameType  { return http2.FrameType(h[3]) }
func (h *frameHeader) has(f http2.Flags) bool { return http2.Flags(h[4]).Has(f) }
func (h *frameHeader) stream() uint32         { return binary.BigEndian.Uint32(h[5:]) &^ (1 << 31) }

// size is that of the whole frame.
func (h *frameHeader) size() int { return frameHeaderSize + h.length() }

// endsStream is true of a frame that ends a call when the server sends it.
func (h *frameHeader) endsStream() bool {
	return h.kind() == http2.FrameRSTStream || h.kind() == http2.FrameHeaders && h.has(http2.FlagHeadersEndStream)
}

// windowUpdate encodes the frame that lets a client send n bytes more on a stream.
func windowUpdate(stream uint32, n uint32) []byte {
	frame := []byte{0, 0, 4, byte(http2.FrameWindowUpdate), 0}
	frame = binary.BigEndian.AppendUint32(frame, stream)
	return binary.BigEndian.AppendUint32(frame, n)
}

// increment is how much a window update adds.
func increment(frame []byte) uint32 { return binary.BigEndian.Uint32(frame[frameHeaderSize:]) }

// frameScanner finds the frame headers in a byte stream that arrives in pieces.
type frameScanner struct {
	skip   int // bytes before the next header
	header frameHeader
	have   int // bytes of header
}

// scan calls each with every header that is complete. The header is valid during the call.
func (s *frameScanner) scan(p []byte, each func(*frameHeader)) {
	for {
		n := min(s.skip, len(p))
		s.skip -= n
		if p = p[n:]; len(p) == 0 {
			return
		}
		n = copy(s.header[s.have:], p)
		s.have += n
		if p = p[n:]; s.have < frameHeaderSize {
			return
		}
		s.have, s.skip = 0, s.header.length()
		each(&s.header)
	}
}
