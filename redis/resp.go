package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unsafe"

	goredis "github.com/redis/go-redis/v9"
)

// What a task's life sends and gets goes past the driver's conversions: arguments are
// given as pointers to strings, which take no memory of their own, and replies come as
// they are on the wire.

// words are a command's.
type words []string

func (w *words) add(list ...string) { *w = append(*w, list...) }

func (w *words) number(n int64) { *w = append(*w, strconv.FormatInt(n, 10)) }

// counted adds a list behind its length.
func (w *words) counted(list ...string) {
	*w = append(*w, strconv.Itoa(len(list)))
	*w = append(*w, list...)
}

// command makes a command of words; they must stay as they are.
func command(ctx context.Context, w words) *goredis.RawCmd {
	args := make([]any, len(w))
	for i := range w {
		args[i] = &w[i]
	}
	return goredis.NewRawCmd(ctx, args...)
}

// raw runs a script as run does, and returns the reply as it is on the wire.
func (s *script) raw(ctx context.Context, c *Client, e effect, keys []string, args words) (*reply, error) {
	return s.send(ctx, c.raw, e, keys, args)
}

// send is raw by a way to send a command.
func (s *script) send(ctx context.Context, send func(context.Context, words) (*reply, error), e effect, keys []string, args words) (*reply, error) {
	w := make(words, 0, 3+len(keys)+len(args))
	w.add("evalsha", s.sha, strconv.Itoa(len(keys)))
	w.add(keys...)
	w.add(args...)
	r, err := send(ctx, w)
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		w[0], w[1] = "eval", s.source
		r, err = send(ctx, w)
	}
	return r, translate(s.name, err, e)
}

// raw runs a command exactly as often as it is called.
func (c *Client) raw(ctx context.Context, w words) (*reply, error) {
	if c.pipeliner == nil {
		return c.redirected(ctx, w)
	}
	cmd := command(ctx, w)
	if err := c.pipeliner.do(ctx, cmd); err != nil {
		return nil, err
	}
	return rawReply(cmd)
}

// reply is a cursor over a reply in RESP2, element by element. Its words share the reply's
// memory.
type reply struct {
	text string
	err  error // the first that was met; what is read after it means nothing
}

// rawReply takes a command's reply. An error reply is an error, as the driver has it.
func rawReply(cmd *goredis.RawCmd) (*reply, error) {
	raw, err := cmd.Result()
	if err != nil {
		return nil, err
	}
	return parseReply(unsafe.String(unsafe.SliceData(raw), len(raw))) // nobody else has raw
}

// parseReply takes a reply as it is on the wire.
func parseReply(raw string) (*reply, error) {
	if strings.HasPrefix(raw, "-") {
		return nil, replyError(strings.TrimSuffix(raw[1:], "\r\n"))
	}
	return &reply{text: raw}, nil
}

// appendCommand writes a command as it is on the wire.
func appendCommand(out []byte, w words) []byte {
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

// readReply reads one reply, in RESP2 or 3, as it is on the wire.
func readReply(in *bufio.Reader) (string, error) {
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
				text = append(text, make([]byte, min(rest, bufferSize))...)
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
func (r *reply) next() (kind byte, rest string) {
	line, after, ok := strings.Cut(r.text, "\r\n")
	if !ok || line == "" {
		r.fail("it ends early")
		return 0, ""
	}
	r.text = after
	return line[0], line[1:]
}

func (r *reply) fail(problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("a reply of Redis can't be read: %s", problem)
	}
	r.text = ""
}

// list begins a list, and says how many elements follow; -1 for nil. A map has two for
// each of its pairs.
func (r *reply) list() int {
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
	if kind != '*' && kind != '>' || err != nil || n > len(r.text) {
		r.fail("it has no list")
		return -1
	}
	return n
}

// word reads a string or a number; "" for nil.
func (r *reply) word() string {
	kind, rest := r.next()
	switch kind {
	case '+', ':':
		return rest
	case '_':
		return ""
	case '-':
		r.err = replyError(rest)
		return ""
	case '$':
		n, err := strconv.Atoi(rest)
		if n == -1 {
			return ""
		}
		if err == nil && n >= 0 && n+2 <= len(r.text) {
			text := r.text[:n]
			r.text = r.text[n+2:]
			return text
		}
	}
	r.fail("it has no string")
	return ""
}

// element reads a string or a list of strings.
func (r *reply) element() element {
	if strings.HasPrefix(r.text, "*") {
		return element{list: r.words()}
	}
	return element{word: r.word()}
}

// words reads a list of strings.
func (r *reply) words() []string {
	n := r.list()
	if n <= 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.word()
	}
	return list
}

// fields reads a list of names and values.
func (r *reply) fields() map[string]string {
	n := r.list()
	fields := make(map[string]string, max(0, n/2))
	for range n / 2 {
		name := r.word()
		fields[name] = r.word()
	}
	return fields
}

// entries reads the entries of a stream.
func (r *reply) entries() []streamEntry {
	n := r.list()
	if n <= 0 {
		return nil
	}
	list := make([]streamEntry, n)
	for i := range list {
		r.list()
		list[i] = streamEntry{id: r.word()}
		list[i].fields = r.fields()
	}
	return list
}

// streamEntry is an entry of a stream.
type streamEntry struct {
	id     string
	fields map[string]string
}

// replyError is an error that Redis gave as a reply, or a script passed on.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError makes it one of the driver's.
func (replyError) RedisError() {}

var _ goredis.Error = replyError("")
