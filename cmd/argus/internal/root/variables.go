package root

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/cli"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
)

// foreignVariables matches variables of other programs: those that Kubernetes sets for a service
// called argus, and switches of tests.
var foreignVariables = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_.*)?$|_PORT(_\d+_[A-Z]+(_PROTO|_PORT|_ADDR)?)?$|_TEST(_.*)?$`)

// KnownVariables returns the variables that any command reads, or that a worker sets.
func KnownVariables(root *cobra.Command) []string {
	known := slices.Clone(cli.WorkerVariables)
	var visit func(*cobra.Command)
	visit = func(command *cobra.Command) {
		command.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, settings.Variables(f)...) })
		for _, sub := range command.Commands() {
			visit(sub)
		}
	}
	visit(root)
	slices.Sort(known)
	return slices.Compact(known)
}

// warnOfVariables warns of variables that look like settings and are none.
func warnOfVariables(to io.Writer, environ, known []string) {
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "ARGUS_") || slices.Contains(known, name) || foreignVariables.MatchString(name) {
			continue
		}
		hint := "it is ignored"
		if nearest, ok := nearestName(name, known); ok {
			hint += "; did you mean " + nearest + "?"
		}
		fmt.Fprintf(to, "argus: warning: unknown environment variable %s: %s\n", name, hint)
	}
}

// nearestName returns the known name that is most similar to name, if one is similar.
func nearestName(name string, known []string) (string, bool) {
	best, least := "", 0
	for _, candidate := range known {
		if d := distance(name, candidate); best == "" || d < least {
			best, least = candidate, d
		}
	}
	return best, best != "" && least <= len(name)/3
}

// distance is the Levenshtein distance: how many letters must be inserted, removed or replaced to
// turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
