package resp

import (
	"fmt"
	"strconv"
	"strings"
)

// Reply is a cursor over a reply in RESP2, element by element. Its words share the reply's
// memory.
type Reply struct {
	Text string
	Err  error // the first error; what is read after it has no meaning
}

// Parse returns a cursor over a reply as it is on the wire; an error reply is a ReplyError.
func Parse(raw string) (*Reply, error) {
	if strings.HasPrefix(raw, "-") {
		return nil, ReplyError(strings.TrimSuffix(raw[1:], "\r\n"))
	}
	return &Reply{Text: raw}, nil
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

// Fail ends the reply with an error, unless it has one.
func (r *Reply) Fail(problem string) {
	if r.Err == nil {
		r.Err = fmt.Errorf("redis sent a malformed reply: %s", problem)
	}
	r.Text = ""
}

// List begins a list and returns how many elements follow; -1 for nil. A map has two for
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
		list[i] = StreamEntry{ID: r.Word()}
		list[i].Fields = r.fields()
	}
	return list
}

// Element is an element of a script's reply: a word or a list of words.
type Element struct {
	Word string
	List []string
}

// StreamEntry is an entry of a stream.
type StreamEntry struct {
	ID     string
	Fields map[string]string
}

// StringList returns a reply of the driver that is a list of strings.
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

// Number parses a number.
func Number(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
