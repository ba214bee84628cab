package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A read returns as many large tasks as fit one message; the others keep their place and no attempt counts.
func TestReplyOfLargeTasksFitsAMessage(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		big := strings.Repeat("x", job.MaxValueBytes)
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			b.publish(t, job.Task{JobID: id, Attributes: map[string]string{"big": big}})
		}
		raw := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(job.DefaultQueue), Values: []any{"job_id", "huge", "x", big + big + big + big}})
		if raw.Err() != nil {
			t.Fatal(raw.Err())
		}
		var order []string
		for range 4 {
			for _, d := range b.read(t, "w", 10) {
				order = append(order, d.Task.JobID)
				if d.Attempt != 1 {
					t.Errorf("%s: attempt %d", d.Task.JobID, d.Attempt)
				}
			}
			if len(order) == 2 {
				b.publish(t, job.Task{JobID: "f"})
			}
		}
		if got := strings.Join(order, ""); got != "abcdef" {
			t.Error("order", got)
		}
		if dead := b.stream(t, "argus_dead:"+job.DefaultQueue); len(dead) != 1 || dead[0].Values["job_id"] != "huge" {
			t.Error(len(dead), "dead letters")
		}
	})
}

// A queue of large tasks is read a few tasks at a time, and none is leased in vain.
func TestLargeTasksAreReadAFewAtATime(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const tasks = 12
		big := strings.Repeat("x", job.MaxValueBytes)
		for i := range tasks {
			b.publish(t, job.Task{JobID: fmt.Sprint(i), Attributes: map[string]string{"big": big}})
		}
		next := 0
		for next < tasks {
			deliveries := b.read(t, "w", job.MaxBatch)
			if len(deliveries) == 0 || len(deliveries) > 3 {
				t.Fatalf("%d deliveries of 1 MiB", len(deliveries))
			}
			for _, d := range deliveries {
				if d.Task.JobID != fmt.Sprint(next) || d.Attempt != 1 {
					t.Fatalf("task %s, attempt %d, want %d and 1", d.Task.JobID, d.Attempt, next)
				}
				next++
				if r, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
					t.Fatalf("Ack: %+v, %v; want r[0].Outcome == queue.Acked", r, err)
				}
			}
		}
		for i := range 500 { // small ones come all at once
			b.publish(t, job.Task{JobID: fmt.Sprint(i)})
		}
		if n := len(b.read(t, "w", job.MaxBatch)); n != 500 {
			t.Error(n, "small tasks")
		}
	})
}

// Publish accepts only what Read can deliver.
func TestTaskTooLargeToDeliverIsRefused(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"json": {Encoding: job.EncodingJSON}}})
		mib, quotes := strings.Repeat("x", job.MaxValueBytes), strings.Repeat("\"\n", 450<<10)
		for name, r := range map[string]queue.PublishRequest{
			"3 MiB": {Task: job.Task{Attributes: map[string]string{"a": mib, "b": mib, "c": mib[:job.MaxValueBytes-5]}}},
			"json":  {Task: job.Task{Attributes: map[string]string{"a": quotes, "b": quotes}}, PublishOptions: queue.PublishOptions{Queue: "json"}},
			"list":  {Task: job.Task{Scanners: []string{strings.Repeat("\x01", 600<<10)}}},
		} {
			_, _, err := b.broker.Publish(b.ctx, r)
			var argument *job.ArgumentError
			if !errors.As(err, &argument) || !strings.HasPrefix(argument.Field, "task") {
				t.Errorf("%s: %v", name, err)
			}
		}
		b.publish(t, job.Task{JobID: "fits", Attributes: map[string]string{"a": mib, "b": mib, "c": mib[:job.MaxValueBytes-1024]}})
		if d := b.readOne(t, "w"); d.Task.JobID != "fits" {
			t.Error(d.Task.JobID)
		}
	})
}

// Tasks that are suddenly large are all delivered, each once, and no reply is too large.
func TestTasksThatSuddenlyGrowAreDeliveredOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 3 { // small ones, so that many are asked for at once
			b.publish(t, job.Task{})
			b.read(t, "w", 64)
		}
		const large = 20
		for i := range large {
			b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", fmt.Sprint("large-", i), "x", strings.Repeat("x", 500<<10)))
		}
		seen := make(map[string]int)
		for range 100 {
			bytes := 0
			for _, d := range b.read(t, "w", 64) {
				seen[d.Task.JobID] += d.Attempt
				bytes += len(d.Task.Attributes["x"])
			}
			if bytes > 3<<20 {
				t.Fatal("an answer of", bytes, "bytes")
			}
		}
		for i := range large {
			if n := seen[fmt.Sprint("large-", i)]; n != 1 {
				t.Errorf("large-%d: %d", i, n)
			}
		}
	})
}
