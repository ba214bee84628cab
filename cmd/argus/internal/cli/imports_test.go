package cli_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Client commands speak gRPC only: no package that they use imports the packages of the server, or a
// driver of Redis.
func TestClientCommandsDoNotImportTheServer(t *testing.T) {
	t.Parallel()
	const module = "github.com/hikmaai-io/argus-queue/"
	out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}}: {{join .Imports \" \"}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	isForbidden := func(path string) bool {
		for _, root := range []string{module + "redis", module + "server", module + "cmd/argus/internal/serve", "github.com/redis/", "github.com/alicebob/miniredis"} {
			if path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/") {
				return true
			}
		}
		return false
	}
	for line := range strings.Lines(string(out)) {
		importer, imports, _ := strings.Cut(line, ": ")
		if isForbidden(importer) { // reported where it is imported
			continue
		}
		for path := range strings.FieldsSeq(imports) {
			if isForbidden(path) {
				t.Errorf("%s imports %s", importer, path)
			}
		}
	}
	if !strings.Contains(string(out), module+"cmd/argus/internal/client:") {
		t.Errorf("the list lacks the package client:\n%s", out)
	}
}
