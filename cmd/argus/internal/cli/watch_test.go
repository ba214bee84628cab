package cli_test

import (
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestWatchSurvivesAServerRestart(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	args := []string{"serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix}
	first := argustest.Start(t, args...)
	c := argustest.NewCLIAt(t, first.Addr)
	c.Run(0, "state", "init", "job")
	var out argustest.Buffer
	watched := make(chan int, 1)
	go func() { watched <- argustest.Run(c.Ctx, []string{"watch", "job"}, c.Env, &out, &out) }()
	raw := e.Raw(t)
	raw.XAdd(c.Ctx, xadd(e.Prefix+"argus_completion:job", "status", "running"))
	c.Await("the first event", func() bool { return strings.Contains(out.String(), "running") })
	_ = first.Cmd.Process.Kill()
	_ = first.Cmd.Wait()
	raw.XAdd(c.Ctx, xadd(e.Prefix+"argus_completion:job", "status", "completed"))
	argustest.Command(append(args, "--grpc-addr", first.Addr)...).Run(t)
	code, printed := <-watched, out.String()
	if code != 0 || strings.Count(printed, "running") != 1 || strings.Count(printed, "completed") != 1 {
		t.Error(code, printed)
	}
}

// xadd is an entry that another program appends.
func xadd(stream string, values ...any) *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: stream, Values: values}
}
