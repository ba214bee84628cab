package broker_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A queue that waits for replicas acknowledges nothing that only the master has.
func TestWriteIsAcknowledgedOnceReplicasHaveIt(t *testing.T) {
	t.Parallel()
	master := redistest.Own(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := redistest.Own(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	b := setup(t, redistest.Engine{Name: "redis", Addr: master.Addr, Prefix: "w:"}, job.Settings{
		Queue: job.QueueSettings{WaitReplicas: 1, WaitTimeout: time.Minute}})
	hasty := b.open(t, job.Settings{Queue: job.QueueSettings{WaitReplicas: 1, WaitTimeout: 50 * time.Millisecond}})
	fast := b.open(t, job.Settings{})
	copied := redistest.Engine{Addr: replica.Addr}.Raw(t)

	publishBy := func(server *broker.Broker, id, request string) (bool, error) {
		_, again, err := server.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: id}, PublishOptions: queue.PublishOptions{RequestID: request}})
		return again, err
	}
	publish := func(id, request string) (bool, error) { return publishBy(b.broker, id, request) }
	// The first synchronization takes its time; until then a repetition is refused too.
	await(t, b.ctx, func() bool { _, err := publish("a", "a"); return err == nil })
	if n := copied.XLen(b.ctx, "w:"+job.DefaultQueue).Val(); n != 1 {
		t.Errorf("the replica has %d tasks, want 1", n)
	}
	if err := b.raw.ScriptFlush(b.ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := publish("b", ""); err != nil {
		t.Error(err)
	}
	first, second := b.readOne(t, "w"), b.readOne(t, "w")
	done := job.Result{Status: job.StatusCompleted}
	if _, err := b.broker.Complete(b.ctx, first.Lease.Token(), done); err != nil {
		t.Error(err)
	}
	if n := copied.XLen(b.ctx, "w:argus_completion:"+first.Task.JobID).Val(); n != 1 {
		t.Errorf("the replica has %d results, want 1", n)
	}

	replica.Kill()
	await(t, b.ctx, func() bool { n, err := b.raw.Wait(b.ctx, 1, time.Millisecond).Result(); return err == nil && n == 0 })
	for range 2 { // a repetition that writes nothing must wait too
		if _, err := publishBy(hasty, "c", "c"); !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("publishBy: %v; want the error ErrUnavailable", err)
		}
		if _, err := hasty.Complete(b.ctx, second.Lease.Token(), done); !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("Complete: %v; want the error ErrUnavailable", err)
		}
	}
	if _, err := publishBy(hasty, "d", ""); !errors.Is(err, job.ErrOutcomeUnknown) {
		t.Errorf("publishBy: %v; want the error ErrOutcomeUnknown", err)
	}
	if _, err := hasty.Report(b.ctx, "d", job.Result{Status: job.StatusRunning}); !errors.Is(err, job.ErrOutcomeUnknown) {
		t.Errorf("Report: %v; want the error ErrOutcomeUnknown", err)
	}
	if _, _, err := fast.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "e"}}); err != nil {
		t.Error("a queue that does not wait: ", err)
	}

	if err := replica.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, b.ctx, func() bool { again, err := publish("c", "c"); return err == nil && again })
	if r, err := b.broker.Complete(b.ctx, second.Lease.Token(), done); err != nil || !r.Already {
		t.Errorf("Complete: %+v, %v; want r.Already", r, err)
	}
}
