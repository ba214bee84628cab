// Command argus is Argus Queue: a gRPC server for task queues, job state and completion events
// over Redis, and its clients.
package main

import (
	"os"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/root"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func main() {
	ctx, stop := shell.UntilSignal()
	code := root.Main(ctx, os.Args[1:], shell.ThisProcess())
	stop()
	os.Exit(code)
}
