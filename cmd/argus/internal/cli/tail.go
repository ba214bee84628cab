package cli

import (
	"bytes"
)

// tail keeps the end, or with keepHead the beginning, of the text written to it: most bytes.
type tail struct {
	bytes.Buffer
	keepHead bool
	most     int
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if t.keepHead {
		p = p[:min(len(p), t.most-t.Len())]
	}
	t.Buffer.Write(p)
	if extra := t.Len() - t.most; extra > 0 {
		t.Next(extra)
	}
	return n, nil
}
