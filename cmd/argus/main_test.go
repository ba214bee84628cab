package main

import (
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestMain(m *testing.M) { argustest.MainWith(m, main) }

// The first signal ends the watches and then the server.
func TestServeEndsItsWatchesOnSIGTERM(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	p := argustest.Start(t, "serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix)
	conn := p.Dial(t)
	argustest.CompleteOneTask(t, conn, "job")
	watch, err := argusv1.NewCompletionClient(conn).Watch(redistest.Context(t), &argusv1.WatchRequest{JobId: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Error("the watch ended with", err)
	}
	if err := p.Cmd.Wait(); err != nil {
		t.Errorf("exit: %v\n%s", err, &p.Stderr)
	}
}
