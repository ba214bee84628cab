package root

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func versionCommand(p *shell.Process) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  argus version",
		Args:    shell.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.Stdout, "argus", version())
			return err
		},
	}
}

// version is the release, and the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return client.Release + " (" + commit(info.Settings) + ")"
}

// commit is the commit of a build, as far as the build records it.
func commit(settings []debug.BuildSetting) string {
	values := make(map[string]string, len(settings))
	for _, s := range settings {
		values[s.Key] = s.Value
	}
	switch {
	case values["vcs.revision"] == "":
		return "commit unknown: built without version control"
	case values["vcs.modified"] == "true":
		return "commit " + values["vcs.revision"] + ", with changes"
	}
	return "commit " + values["vcs.revision"]
}
