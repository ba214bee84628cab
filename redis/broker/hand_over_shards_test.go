package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// eachShardCount runs a test on every engine without sharding, with one shard, and with several.
func eachShardCount(t *testing.T, test func(t *testing.T, r recorded), counts ...int) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		if e.Real() {
			e = redistest.Own(t).Engine() // another test makes the shared one forget its scripts
		}
		for _, n := range counts {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				e := e
				e.Prefix = fmt.Sprintf("%s%d:", e.Prefix, n)
				test(t, setupRecorded(t, e, n))
			})
		}
	})
}

// A waiting read gets its task in the round trip of the publish: nothing else is sent, whichever
// shard the task lies in, and whether the publish writes a state or not.
func TestTaskIsHandedOverInThePublishRoundTrip(t *testing.T) {
	t.Parallel()
	eachShardCount(t, func(t *testing.T, r recorded) {
		for i := range r.shards {
			for n, state := range []*job.InitialState{nil, {}} {
				w := r.startRead(t, "w")
				id := r.jobIn(i, 1+n)
				if _, _, err := r.broker.Publish(r.ctx, queue.PublishRequest{Task: job.Task{JobID: id}, State: state}); err != nil {
					t.Fatal(err)
				}
				d := w.one(t)
				sent := r.take()
				if len(sent) != 1 || strings.Count(sent[0], "xreadgroup "+r.tasks(i)) != 1 || strings.Count(sent[0], r.tasks(i)) != 2 {
					t.Errorf("shard %d, publish with state %t: sent %q, want one round trip that publishes and reads", i, state != nil, sent)
				}
				if d.Task.JobID != id || d.Attempt != 1 {
					t.Errorf("shard %d: the read returned attempt %d of %s, want 1 of %s", i, d.Attempt, d.Task.JobID, id)
				}
				r.ackAll(t, d)
			}
		}
	}, 0, 1, shardCount)
}

// While a hand-over in one shard is under way, publishes in the others do not lease tasks for the same
// read. It takes the first task that it is notified of; the grant that arrives afterwards is returned
// to its queue at once, and counts no attempt.
func TestWaitingReadGetsOneGrantAtATime(t *testing.T) {
	t.Parallel()
	eachShardCount(t, func(t *testing.T, r recorded) {
		w := r.startRead(t, "w")
		executed, release := r.hold(t, "xadd "+r.tasks(0))
		slow, published := r.jobIn(0, 1), make(chan error, 1)
		go func() {
			_, _, err := r.broker.Publish(r.ctx, queue.PublishRequest{Task: job.Task{JobID: slow}})
			published <- err
		}()
		receive(t, executed) // Redis has leased the task; the publisher does not know yet
		id := r.publishIn(t, 1, 1)
		if d := w.one(t); d.Task.JobID != id {
			t.Fatalf("the read returned %s, want %s, as the other publish has no reply", d.Task.JobID, id)
		} else {
			r.ackAll(t, d)
		}
		for _, sent := range r.take() {
			if strings.HasPrefix(sent, "xadd "+r.tasks(1)) && strings.Contains(sent, "xreadgroup") {
				t.Errorf("a second task was leased for a read that has an offer: %s", sent)
			}
		}
		release()
		if err := receive(t, published); err != nil {
			t.Fatal(err)
		}
		if d := r.read(t, "other", 1); len(d) != 1 || d[0].Task.JobID != slow || d[0].Attempt != 1 {
			t.Errorf("another consumer got %+v, want the first attempt of %s: the unneeded grant was not returned", d, slow)
		}
	}, shardCount)
}

// After a grant was used, the next wait accepts a grant in any shard again.
func TestGrantsFollowOneAnother(t *testing.T) {
	t.Parallel()
	eachShardCount(t, func(t *testing.T, r recorded) {
		for round := range 2 * len(r.shards) {
			w := r.startRead(t, "w")
			id := r.publishIn(t, round%len(r.shards), 1+round)
			if d := w.one(t); d.Task.JobID != id {
				t.Fatalf("round %d: the read returned %s, want %s", round, d.Task.JobID, id)
			} else {
				r.ackAll(t, d)
			}
			if sent := r.take(); len(sent) != 2 { // the publish with the read, and the acknowledgement
				t.Errorf("round %d: %d round trips, want 2: %q", round, len(sent), sent)
			}
		}
	}, shardCount)
}

// A read that returns another shard's task while it has a grant returns the grant to its queue.
func TestReadThatReturnsWithAGrantReturnsIt(t *testing.T) {
	t.Parallel()
	eachShardCount(t, func(t *testing.T, r recorded) {
		w := r.startRead(t, "w")
		granted, grant := r.hold(t, "xadd "+r.tasks(0))
		unused, published := r.jobIn(0, 1), make(chan error, 1)
		go func() {
			_, _, err := r.broker.Publish(r.ctx, queue.PublishRequest{Task: job.Task{JobID: unused}})
			published <- err
		}()
		receive(t, granted)
		reading, reply := r.hold(t, "xreadgroup "+r.tasks(1))
		id := r.publishIn(t, 1, 1)
		receive(t, reading) // the read takes this task
		grant()
		if err := receive(t, published); err != nil { // and now has the other one as well
			t.Fatal(err)
		}
		reply()
		if d := w.one(t); d.Task.JobID != id {
			t.Fatalf("the read returned %s, want %s", d.Task.JobID, id)
		}
		if d := r.read(t, "other", 1); len(d) != 1 || d[0].Task.JobID != unused || d[0].Attempt != 1 {
			t.Errorf("another consumer got %+v, want the first attempt of %s", d, unused)
		}
	}, shardCount)
}

// A read whose caller leaves during a hand-over does not keep the task.
func TestReadThatLeavesDuringAHandOverKeepsNoTask(t *testing.T) {
	t.Parallel()
	eachShardCount(t, func(t *testing.T, r recorded) {
		w := r.startRead(t, "w")
		executed, release := r.hold(t, "xadd "+r.tasks(0))
		id, published := r.jobIn(0, 1), make(chan error, 1)
		go func() {
			_, _, err := r.broker.Publish(r.ctx, queue.PublishRequest{Task: job.Task{JobID: id}})
			published <- err
		}()
		receive(t, executed)
		w.leave()
		if d := receive(t, w.deliveries); len(d) != 0 {
			t.Fatalf("a read whose caller left returned %+v", d)
		}
		release()
		if err := receive(t, published); err != nil {
			t.Fatal(err)
		}
		d, err := r.broker.Read(r.ctx, queue.ReadRequest{Consumer: "other", Wait: time.Minute})
		if err != nil || len(d) != 1 || d[0].Task.JobID != id || d[0].Attempt != 1 {
			t.Errorf("another consumer got %+v, %v, want the first attempt of %s", d, err, id)
		}
	}, 0, shardCount)
}
