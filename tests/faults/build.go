package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// sourceDir returns the directory of the service's module. It asks the go command, because
// this program is a module of its own and runs from anywhere inside it.
func sourceDir() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/hikmaai-io/argus-queue").Output()
	return strings.TrimSpace(string(out)), err
}

// buildArgus builds the argus command into the file at path. The build runs in the service's
// module, so that the server under test has the dependencies it is released with.
func buildArgus(path string, flags ...string) error {
	dir, err := sourceDir()
	if err != nil {
		return fmt.Errorf("find the service's module: %w", err)
	}
	build := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), "./cmd/argus")...)
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build argus: %w\n%s", err, out)
	}
	return nil
}
