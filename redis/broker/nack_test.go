package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A task that is returned goes to the end of the queue, waits for its delay, or goes to the dead letters,
// with its fields, its attempts and its time of publication.
func TestNackRequeuesPostponesOrRejects(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a", BinaryAttributes: map[string][]byte{"bin": {0xfe, ':', 0}}, CreatedAt: created})
		b.publish(t, job.Task{JobID: "b"})
		first := b.readOne(t, "w")
		if err := b.nack(queue.NackRequest{Token: first.Lease.Token(), Delay: new(time.Duration(0)), Reason: "later"}); err != nil {
			t.Fatal(err)
		}
		b.readOne(t, "w") // b: the other went to the end
		second := b.readOne(t, "w")
		if diff := cmp.Diff(first.Task, second.Task); diff != "" || second.Attempt != 2 || !second.PublishedAt.Equal(first.PublishedAt) {
			t.Errorf("requeued: attempt %d, published %s (was %s), %s", second.Attempt, second.PublishedAt, first.PublishedAt, diff)
		}

		if err := b.nack(queue.NackRequest{Token: second.Lease.Token(), Delay: new(20 * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		third, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 5, Wait: 10 * time.Second})
		if err != nil || len(third) != 1 || third[0].Attempt != 3 || !third[0].PublishedAt.Equal(first.PublishedAt) {
			t.Fatalf("Read: %+v, %v; want len(third) == 1 and third[0].Attempt == 3 and third[0].PublishedAt.Equal(first.PublishedAt)", third, err)
		}
		if diff := cmp.Diff(first.Task, third[0].Task); diff != "" {
			t.Error(diff)
		}

		if err := b.nack(queue.NackRequest{Token: third[0].Lease.Token(), DeadLetter: true, Reason: "poison"}); err != nil {
			t.Fatal(err)
		}
		dead := b.stream(t, "argus_dead:"+job.DefaultQueue)
		if len(dead) != 1 || dead[0].Values["job_id"] != "a" || dead[0].Values["argus_reason"] != "poison" ||
			dead[0].Values["argus_attempt"] != "3" || dead[0].Values["argus_source_id"] != third[0].Lease.EntryID || dead[0].Values["bin"] != "\xfe:\x00" {
			t.Error("dead letters", dead)
		}
		if err := b.nack(queue.NackRequest{Token: third[0].Lease.Token()}); !errors.Is(err, job.ErrLeaseLost) {
			t.Error("repeated:", err)
		}
	})
}

// A task that one group returns is not delivered again to another group.
func TestNackInOneGroupDeliversToNoOther(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Groups: job.Groups{"one", "two"}}})
		read := func(group string) []queue.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: group, Consumer: "w", Max: 10})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		b.publish(t, job.Task{JobID: "job"})
		one, two := read("one"), read("two")
		if len(one) != 1 || len(two) != 1 {
			t.Fatal(one, two)
		}
		for _, delay := range []time.Duration{0, time.Hour} {
			if err := b.nack(queue.NackRequest{Token: one[0].Lease.Token(), Delay: &delay}); err != nil {
				t.Fatal(err)
			}
			b.travel(t)
			if again := read("two"); len(again) != 0 {
				t.Error("the other group got it again")
			}
			if one = read("one"); len(one) != 1 {
				t.Fatal(one)
			}
		}
		for _, d := range append(one, two...) {
			if r, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
				t.Errorf("Ack: %+v, %v; want r[0].Outcome == queue.Acked", r, err)
			}
		}
		if left := b.stream(t, job.DefaultQueue); len(left) != 0 {
			t.Error("entries that every group has settled are left:", left)
		}
	})
}
