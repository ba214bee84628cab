package broker_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// The whole story of a queue can be read with redis-cli.
func TestQueueIsReadableByRedisCLI(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatal(err) // it comes with redis-server
	}
	b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{job.DefaultQueue: {UniqueJobs: true}}})
	host, port, _ := net.SplitHostPort(e.Addr)
	read := func(wants string, args ...string) {
		t.Helper()
		out, err := exec.Command(cli, append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput()
		text := strings.Join(strings.Fields(string(out)), " ")
		for want := range strings.SplitSeq(wants, ";") {
			if err != nil || !strings.Contains(text, want) {
				t.Errorf("redis-cli %s: %v, want %q:\n%s", strings.Join(args, " "), err, want, out)
			}
		}
	}
	for _, id := range []string{"dead", "retried", "cancelled", "done", "leased"} {
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: id, OrganizationID: "acme"}, State: &job.InitialState{}}); err != nil {
			t.Fatal(err)
		}
	}
	read("job_id dead;organization_id acme;job_id leased", "XRANGE", b.key(job.DefaultQueue), "-", "+")
	read("pending", "HGET", b.key("job_state:dead"), "status")
	if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true, Reason: "bad-image"}); err != nil {
		t.Fatal(err)
	}
	if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), Delay: new(time.Hour), Reason: "later"}); err != nil {
		t.Fatal(err)
	}
	b.cancel(t, "cancelled", job.StatusPending)
	if _, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusCompleted, Fields: map[string]string{"findings": "3"}}); err != nil {
		t.Fatal(err)
	}
	held := b.readOne(t, "worker-7")
	if err := b.broker.Pause(b.ctx, ""); err != nil {
		t.Fatal(err)
	}
	read("argus_cause rejected;argus_reason bad-image;argus_source_id;argus_attempt 1;argus_dead_at;job_id dead", "XRANGE", b.key("argus_dead:"+job.DefaultQueue), "-", "+")
	read("status failed;error_message rejected: bad-image", "XRANGE", b.key("argus_completion:dead"), "-", "+")
	read("7:retried;13:argus_attempt;14:argus_failures1:1", "ZRANGE", b.key("argus_delayed:"+job.DefaultQueue), "0", "-1")
	read(job.DefaultQueue, "SMEMBERS", b.key("argus_queues:delayed"))
	read("cancelled", "ZRANGE", b.key("argus_jobs:cancelled"), "0", "-1")
	read("status cancelled;cancel_reason not needed", "HGETALL", b.key("job_state:cancelled"))
	read("status completed;findings 3", "HGETALL", b.key("job_state:done"))
	read("status completed;findings 3", "XRANGE", b.key("argus_completion:done"), "-", "+")
	read(held.Lease.EntryID+" worker-7", "XPENDING", b.key(job.DefaultQueue), job.DefaultGroup, "-", "+", "10")
	read("1", "XLEN", b.key(job.DefaultQueue)) // the leased one is all that is left
	read("1", "EXISTS", b.key("argus_paused:"+job.DefaultQueue))
	read("1", "EXISTS", b.key("argus_active:leased"))
	read("0", "EXISTS", b.key("argus_active:done"))
}
