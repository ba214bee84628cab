package main

import (
	"io"
	"strings"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// statusMark begins a cell of a table that is a status; it is not printed.
const statusMark = "\x1f"

// statusCell is a status as a cell of a table.
func statusCell(s argusv1.JobStatus, text string) string { return statusMark + statusWord(s, text) }

// statusColours are the colours of a terminal by the word of a status.
var statusColours = map[string]string{"completed": "32", "partial": "33", "running": "36", "failed": "31", "cancelled": "35", "pending": "2"}

// coloured is whether text is printed in colours: on a terminal, unless NO_COLOR is set
// (https://no-color.org) or the terminal can't.
func coloured(env func(string) (string, bool), isTerminal bool) bool {
	no, _ := env("NO_COLOR")
	term, _ := env("TERM")
	return isTerminal && no == "" && term != "dumb"
}

func (p *program) isColoured(to io.Writer) bool { return coloured(p.env, isTerminal(to)) }

// paint gives a status its colour.
func paint(word string) string {
	colour, ok := statusColours[strings.TrimSpace(word)]
	if !ok {
		return word
	}
	return "\x1b[" + colour + "m" + word + "\x1b[0m"
}
