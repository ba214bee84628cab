package guard

import (
	"slices"
	"testing"
)

func TestFrameScannerFindsHeadersInPieces(t *testing.T) {
	t.Parallel()
	input := []byte("preface")
	var want []uint32
	for stream := range uint32(4) {
		input = append(input, windowUpdate(stream, 7)...)
		input = append(input, 0, 0, 0, 1, 4, 0, 0, 0, byte(stream+10)) // without a payload
		want = append(want, stream, stream+10)
	}
	for piece := 1; piece <= len(input); piece++ {
		var got []uint32
		s := frameScanner{skip: len("preface")}
		for p := range slices.Chunk(input, piece) {
			s.scan(p, func(h *frameHeader) { got = append(got, h.stream()) })
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pieces of %d bytes: streams %d, want %d", piece, got, want)
		}
	}
}
