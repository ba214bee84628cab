package resp

import (
	"bufio"
	"slices"
	"strings"
	"testing"
)

// A reply is cut out of what comes, whatever it holds, and what comes after it is left.
func TestReadReply(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"+OK\r\n", ":7\r\n", "_\r\n", "#t\r\n", "-ERR no\r\n", "$0\r\n\r\n", "$-1\r\n", "$5\r\na\r\nbc\r\n",
		"*0\r\n", "*-1\r\n", "*2\r\n*1\r\n$1\r\na\r\n:1\r\n", "%2\r\n+a\r\n+b\r\n$1\r\nc\r\n*2\r\n:1\r\n:2\r\n",
		">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", "=6\r\ntxt:ab\r\n", "!3\r\nERR\r\n", "~1\r\n+a\r\n", "|1\r\n+ttl\r\n:1\r\n$1\r\na\r\n",
		"$" + "70000\r\n" + strings.Repeat("x", 70000) + "\r\n",
		"+" + strings.Repeat("x", 70000) + "\r\n", "-ERR " + strings.Repeat("x", 500_000) + "\r\n", "*2\r\n+" + strings.Repeat("x", 4094) + "\r\n:1\r\n",
	} {
		in := bufio.NewReader(strings.NewReader(raw + "+next\r\n"))
		got, err := Read(in)
		if next, _ := Read(in); err != nil || got != raw || next != "+next\r\n" {
			t.Errorf("%.40q: got %.40q, %v, and then %q", raw, got, err, next)
		}
		for n := range min(len(raw), 100) {
			if got, err := Read(bufio.NewReader(strings.NewReader(raw[:n]))); err == nil {
				t.Errorf("the first %d bytes of %.40q are %q", n, raw, got)
			}
		}
	}
	for _, raw := range []string{"$x\r\n", "*1x\r\n", "$99999999999\r\n", "*99999999999\r\n", "+" + strings.Repeat("x", maxLine+100_000) + "\r\n"} {
		if got, err := Read(bufio.NewReader(strings.NewReader(raw))); err == nil {
			t.Errorf("%q is %q", raw, got)
		}
	}
}

// What is no reply is an error, never a panic; and what was written can be read.
func FuzzReply(f *testing.F) {
	f.Add("*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n")
	f.Add("%1\r\n$1\r\na\r\n$1\r\nb\r\n")
	f.Add("%99999\r\n")
	f.Add("_\r\n")
	f.Add("-ERR\r\n")
	f.Add("*1\r\n+x")
	f.Fuzz(func(t *testing.T, raw string) {
		if r, err := Parse(raw); err == nil {
			r.Entries()
		}
		if got, err := Read(bufio.NewReader(strings.NewReader(raw))); err == nil && !strings.HasPrefix(raw, got) {
			t.Errorf("%q began with %q", raw, got)
		}
		out := string(AppendCommand(nil, Command{raw, "", raw}))
		text, err := Read(bufio.NewReader(strings.NewReader(out)))
		if err != nil || text != out {
			t.Fatalf("%q: %q, %v", out, text, err)
		}
		reply, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := reply.Words(); !slices.Equal(got, []string{raw, "", raw}) || reply.Err != nil {
			t.Errorf("%q: %q, %v", raw, got, reply.Err)
		}
	})
}
