package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds the length of a line: more than a task can hold.
const maxLine = 8 << 20

var errLongLine = fmt.Errorf("longer than %d bytes", maxLine)

// line is a line without its end, or the error of reading it. The last line has an error, too.
type line struct {
	text []byte
	err  error
}

func (l line) isBlank() bool { return len(bytes.TrimSpace(l.text)) == 0 }

// readLines reads lines until an error, io.EOF at the end. Its goroutine ends when ctx does, unless
// it is reading: a read of a terminal or a pipe cannot be interrupted, so it is left behind.
func readLines(ctx context.Context, input io.Reader) <-chan line {
	lines := make(chan line)
	go func() {
		buffered := bufio.NewReaderSize(input, 1<<16)
		for {
			text, err := readLine(buffered)
			select {
			case lines <- line{text, err}:
			case <-ctx.Done():
				return
			}
			if err != nil && !errors.Is(err, errLongLine) {
				return
			}
		}
	}()
	return lines
}

// readLine reads one line. It skips a line that is too long, with errLongLine.
func readLine(input *bufio.Reader) ([]byte, error) {
	var text []byte
	isLong := false
	for {
		part, err := input.ReadSlice('\n')
		if isLong = isLong || len(text)+len(part) > maxLine; !isLong {
			text = append(text, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if isLong && (err == nil || errors.Is(err, io.EOF)) {
			return nil, errLongLine
		}
		return bytes.TrimRight(text, "\r\n"), err
	}
}
