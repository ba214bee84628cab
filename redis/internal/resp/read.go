package resp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unsafe"
)

// BufferSize of a connection lets one system call write or read most batches.
const BufferSize = 128 << 10

// maxLine bounds a line, such as an error or a simple string.
const maxLine = 1 << 20

// maxBulk is the longest string that Redis has by default.
const maxBulk = 512 << 20

// Read reads one reply, in RESP2 or 3, as it is on the wire.
func Read(in *bufio.Reader) (string, error) {
	var text []byte
	for left := 1; left > 0; left-- {
		start := len(text)
		for {
			part, err := in.ReadSlice('\n')
			text = append(text, part...)
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) || len(text)-start > maxLine {
				return "", err
			}
		}
		line, n := text[start:], 0
		var err error
		switch line[0] {
		case '$', '=', '!', '*', '~', '>', '%', '|':
			if n, err = strconv.Atoi(strings.TrimSuffix(string(line[1:]), "\r\n")); err != nil || n > maxBulk {
				return "", fmt.Errorf("redis sent %.40q, which is not a reply", line)
			}
		}
		switch {
		case n < 0: // nil
		case line[0] == '*' || line[0] == '~' || line[0] == '>':
			left += n
		case line[0] == '%':
			left += 2 * n
		case line[0] == '|': // attributes come before the reply
			left += 2*n + 1
		case line[0] == '$' || line[0] == '=' || line[0] == '!':
			for rest := n + 2; rest > 0; { // memory is taken as it comes
				at := len(text)
				text = append(text, make([]byte, min(rest, BufferSize))...)
				if _, err := io.ReadFull(in, text[at:]); err != nil {
					return "", err
				}
				rest -= len(text) - at
			}
		}
	}
	return unsafe.String(unsafe.SliceData(text), len(text)), nil // no other reference to text is left
}
