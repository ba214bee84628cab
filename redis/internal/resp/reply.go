package resp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unsafe"

	goredis "github.com/redis/go-redis/v9"
)

// BufferSize lets most batches go out and come in by one system call.
const BufferSize = 128 << 10

// Element is an element of a script's reply: a word or a list of words.
type Element struct {
	Word string
	List []string
}

// What a task's life sends and gets goes past the driver's conversions: arguments are
// given as pointers to strings, which take no memory of their own, and replies come as
// they are on the wire.

// Command are a command's.
type Command []string

func (w *Command) Add(list ...string) { *w = append(*w, list...) }

func (w *Command) Number(n int64) { *w = append(*w, strconv.FormatInt(n, 10)) }

// Counted adds a list behind its length.
func (w *Command) Counted(list ...string) {
	*w = append(*w, strconv.Itoa(len(list)))
	*w = append(*w, list...)
}

// Reply is a cursor over a reply in RESP2, element by element. Its words share the reply's
// memory.
type Reply struct {
	Text string
	Err  error // the first that was met; what is read after it means nothing
}

// Parse takes a reply as it is on the wire.
func Parse(raw string) (*Reply, error) {
	if strings.HasPrefix(raw, "-") {
		return nil, ReplyError(strings.TrimSuffix(raw[1:], "\r\n"))
	}
	return &Reply{Text: raw}, nil
}

// AppendCommand writes a command as it is on the wire.
func AppendCommand(out []byte, w Command) []byte {
	line := func(kind byte, n int) { out = append(strconv.AppendInt(append(out, kind), int64(n), 10), "\r\n"...) }
	line('*', len(w))
	for _, word := range w {
		line('$', len(word))
		out = append(append(out, word...), "\r\n"...)
	}
	return out
}

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
				return "", fmt.Errorf("redis sent %.40q, which is no reply", line)
			}
		}
		switch {
		case n < 0: // nil
		case line[0] == '*' || line[0] == '~' || line[0] == '>':
			left += n
		case line[0] == '%':
			left += 2 * n
		case line[0] == '|': // what it says about the reply comes before it
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
	return unsafe.String(unsafe.SliceData(text), len(text)), nil // nobody else has text
}

// next reads a line of the protocol: its kind, and the rest.
func (r *Reply) next() (kind byte, rest string) {
	line, after, ok := strings.Cut(r.Text, "\r\n")
	if !ok || line == "" {
		r.Fail("it ends early")
		return 0, ""
	}
	r.Text = after
	return line[0], line[1:]
}

func (r *Reply) Fail(problem string) {
	if r.Err == nil {
		r.Err = fmt.Errorf("a reply of Redis can't be read: %s", problem)
	}
	r.Text = ""
}

// List begins a list, and says how many elements follow; -1 for nil. A map has two for
// each of its pairs.
func (r *Reply) List() int {
	kind, rest := r.next()
	if kind == '_' {
		return -1
	}
	n, err := strconv.Atoi(rest)
	if kind == '$' && n == -1 {
		return -1
	}
	if kind == '%' {
		kind, n = '*', 2*n
	}
	if kind != '*' && kind != '>' || err != nil || n > len(r.Text) {
		r.Fail("it has no list")
		return -1
	}
	return n
}

// Word reads a string or a number; "" for nil.
func (r *Reply) Word() string {
	kind, rest := r.next()
	switch kind {
	case '+', ':':
		return rest
	case '_':
		return ""
	case '-':
		r.Err = ReplyError(rest)
		return ""
	case '$':
		n, err := strconv.Atoi(rest)
		if n == -1 {
			return ""
		}
		if err == nil && n >= 0 && n+2 <= len(r.Text) {
			text := r.Text[:n]
			r.Text = r.Text[n+2:]
			return text
		}
	}
	r.Fail("it has no string")
	return ""
}

// Element reads a string or a list of strings.
func (r *Reply) Element() Element {
	if strings.HasPrefix(r.Text, "*") {
		return Element{List: r.Words()}
	}
	return Element{Word: r.Word()}
}

// Words reads a list of strings.
func (r *Reply) Words() []string {
	n := r.List()
	if n <= 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.Word()
	}
	return list
}

// fields reads a list of names and values.
func (r *Reply) fields() map[string]string {
	n := r.List()
	fields := make(map[string]string, max(0, n/2))
	for range n / 2 {
		name := r.Word()
		fields[name] = r.Word()
	}
	return fields
}

// Entries reads the entries of a stream.
func (r *Reply) Entries() []StreamEntry {
	n := r.List()
	if n <= 0 {
		return nil
	}
	list := make([]StreamEntry, n)
	for i := range list {
		r.List()
		list[i] = StreamEntry{Id: r.Word()}
		list[i].Fields = r.fields()
	}
	return list
}

// StreamEntry is an entry of a stream.
type StreamEntry struct {
	Id     string
	Fields map[string]string
}

// ReplyError is an error that Redis gave as a reply, or a script passed on.
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// RedisError makes it one of the driver's.
func (ReplyError) RedisError() {}

var _ goredis.Error = ReplyError("")

func StringList(reply any) ([]string, error) {
	items, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("unexpected reply %T, want a list", reply)
	}
	list := make([]string, len(items))
	for i, item := range items {
		if list[i], ok = item.(string); !ok {
			return nil, fmt.Errorf("unexpected %T in a reply, want a string", item)
		}
	}
	return list, nil
}

func Number(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
