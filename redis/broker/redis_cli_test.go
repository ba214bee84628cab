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

// cliBundle is a queue of unique jobs that is looked into by redis-cli. Its jobs are named after what
// happens to them.
type cliBundle struct {
	*bundle
	cli []string
}

func setupCLI(t *testing.T, jobs ...string) cliBundle {
	t.Helper()
	e := redistest.Shared(t)
	path, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatal(err) // it comes with redis-server
	}
	host, port, _ := net.SplitHostPort(e.Addr)
	b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{job.DefaultQueue: {UniqueJobs: true}}})
	for _, id := range jobs {
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: id, OrganizationID: "acme"}, State: &job.InitialState{}}); err != nil {
			t.Fatal(err)
		}
	}
	return cliBundle{b, []string{path, "-h", host, "-p", port}}
}

// shows checks that the output of redis-cli contains some texts.
func (b cliBundle) shows(t *testing.T, wants []string, command, key string, args ...string) {
	t.Helper()
	words := append(append(b.cli[1:len(b.cli):len(b.cli)], command, b.key(key)), args...)
	out, err := exec.Command(b.cli[0], words...).CombinedOutput()
	text := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range wants {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("redis-cli %s %s: %v, want %q in:\n%s", command, key, err, want, out)
		}
	}
}

// Tasks that wait or are leased can be read with redis-cli, and whether their jobs are active.
func TestRedisCLIShowsWaitingAndLeasedTasks(t *testing.T) {
	t.Parallel()
	b := setupCLI(t, "done", "leased")
	b.shows(t, []string{"job_id done", "organization_id acme", "job_id leased"}, "XRANGE", job.DefaultQueue, "-", "+")
	b.shows(t, []string{"pending"}, "HGET", "job_state:done", "status")
	done := job.Result{Status: job.StatusCompleted, Fields: map[string]string{"findings": "3"}}
	if _, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), done); err != nil {
		t.Fatal(err)
	}
	held := b.readOne(t, "worker-7")
	b.shows(t, []string{held.Lease.EntryID + " worker-7"}, "XPENDING", job.DefaultQueue, job.DefaultGroup, "-", "+", "10")
	b.shows(t, []string{"1"}, "XLEN", job.DefaultQueue) // the leased one
	b.shows(t, []string{"1"}, "EXISTS", "argus_active:leased")
	b.shows(t, []string{"0"}, "EXISTS", "argus_active:done")
	b.shows(t, []string{"status completed", "findings 3"}, "HGETALL", "job_state:done")
	b.shows(t, []string{"status completed", "findings 3"}, "XRANGE", "argus_completion:done", "-", "+")
}

// A dead letter, a postponed task, a cancelled job and a pause can be read with redis-cli.
func TestRedisCLIShowsDeadPostponedAndCancelledTasks(t *testing.T) {
	t.Parallel()
	b := setupCLI(t, "dead", "retried", "cancelled")
	if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true, Reason: "bad-image"}); err != nil {
		t.Fatal(err)
	}
	if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), Delay: new(time.Hour), Reason: "later"}); err != nil {
		t.Fatal(err)
	}
	b.cancel(t, "cancelled", job.StatusPending)
	if err := b.broker.Pause(b.ctx, ""); err != nil {
		t.Fatal(err)
	}
	b.shows(t, []string{"argus_cause rejected", "argus_reason bad-image", "argus_source_id", "argus_attempt 1", "argus_dead_at", "job_id dead"},
		"XRANGE", "argus_dead:"+job.DefaultQueue, "-", "+")
	b.shows(t, []string{"status failed", "error_message rejected: bad-image"}, "XRANGE", "argus_completion:dead", "-", "+")
	b.shows(t, []string{"7:retried", "13:argus_attempt", "14:argus_failures1:1"}, "ZRANGE", "argus_delayed:"+job.DefaultQueue, "0", "-1")
	b.shows(t, []string{job.DefaultQueue}, "SMEMBERS", "argus_queues:delayed")
	b.shows(t, []string{"cancelled"}, "ZRANGE", "argus_jobs:cancelled", "0", "-1")
	b.shows(t, []string{"status cancelled", "cancel_reason not needed"}, "HGETALL", "job_state:cancelled")
	b.shows(t, []string{"1"}, "EXISTS", "argus_paused:"+job.DefaultQueue)
}
