package cli_test

import (
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestWorkerStopsWhenItsLeaseIsLost(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	s := argustest.Start(t, "serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix, "--lease", "1s")
	c := argustest.NewCLIAt(t, s.Addr)
	w := argustest.StartWorker(t, c.Addr, "--", "sleep", "100")
	c.Run(0, "publish", "--job-id", "stolen", "--init")
	raw := e.Raw(t)
	c.Await("the delivery", func() bool {
		p := raw.XPending(c.Ctx, e.Prefix+"argus_task_queue", "argus-workers").Val()
		return p != nil && p.Count == 1
	})
	id := raw.XRange(c.Ctx, e.Prefix+"argus_task_queue", "-", "+").Val()[0].ID
	raw.Do(c.Ctx, "XCLAIM", e.Prefix+"argus_task_queue", "argus-workers", "thief", 0, id)
	c.Await("the end of the command", func() bool {
		return strings.Contains(w.Stderr.String(), "job stolen: stopped, the lease is lost")
	})
}

func TestWorkerKeepsItsLease(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	s := argustest.Start(t, "serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix, "--lease", "400ms")
	c := argustest.NewCLIAt(t, s.Addr)
	command := argustest.Script(t, `[ "$ARGUS_JOB_ID" = long ] && sleep 1.5 || sleep 100`+"\necho attempt $ARGUS_ATTEMPT")
	w := argustest.StartWorker(t, c.Addr, "--concurrency", "2", "--", command)
	c.Run(0, "publish", "--job-id", "long")
	if out, _ := c.Run(0, "await", "long"); !strings.Contains(out, "attempt 1") {
		t.Error(out)
	}
	c.Run(0, "publish", "--job-id", "cancelled", "--init")
	c.Run(0, "state", "set", "cancelled", "status=cancelled")
	c.Run(shell.ExitJobCancelled, "await", "cancelled")
	if !strings.Contains(w.Stderr.String(), "job cancelled: stopped, the job is cancelled") {
		t.Error(w.Stderr.String())
	}
}
