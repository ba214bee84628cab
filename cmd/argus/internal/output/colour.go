package output

import (
	"strings"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// statusMark begins a cell of a table that is a status; it is not printed.
const statusMark = "\x1f"

// StatusCell is a status as a cell of a table.
func StatusCell(s argusv1.JobStatus, text string) string { return statusMark + Status(s, text) }

// statusColours has the colours of a terminal by the word of a status.
var statusColours = map[string]string{"completed": "32", "partial": "33", "running": "36", "failed": "31", "cancelled": "35", "pending": "2"}

// HasColour reports whether the standard output shows colours.
func HasColour(p *shell.Process) bool { return hasColour(p.Env, shell.IsTerminal(p.Stdout)) }

// hasColour reports whether to print colours: on a terminal, unless NO_COLOR is set
// (https://no-color.org) or the terminal has none.
func hasColour(env func(string) (string, bool), isTerminal bool) bool {
	no, _ := env("NO_COLOR")
	term, _ := env("TERM")
	return isTerminal && no == "" && term != "dumb"
}

// paint gives a status its colour.
func paint(word string) string {
	colour, ok := statusColours[strings.TrimSpace(word)]
	if !ok {
		return word
	}
	return "\x1b[" + colour + "m" + word + "\x1b[0m"
}
