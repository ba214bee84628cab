// Package resp writes commands and reads replies in Redis's protocol, past the driver's conversions:
// arguments are strings, which take no memory of their own, and replies stay as they are on the wire
// until they are read.
package resp

import "strconv"

// Command is the words of a command.
type Command []string

// Add appends words.
func (w *Command) Add(list ...string) { *w = append(*w, list...) }

// Number appends a number.
func (w *Command) Number(n int64) { *w = append(*w, strconv.FormatInt(n, 10)) }

// Counted appends the length of a list and the list.
func (w *Command) Counted(list ...string) {
	*w = append(*w, strconv.Itoa(len(list)))
	*w = append(*w, list...)
}

// AppendCommand appends a command as it is on the wire.
func AppendCommand(out []byte, w Command) []byte {
	line := func(kind byte, n int) { out = append(strconv.AppendInt(append(out, kind), int64(n), 10), "\r\n"...) }
	line('*', len(w))
	for _, word := range w {
		line('$', len(word))
		out = append(append(out, word...), "\r\n"...)
	}
	return out
}
