package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Tasks of raw producers are delivered in both encodings. What is not a task becomes a dead letter, with its
// fields and a reason.
func TestTasksOfRawProducersAreDelivered(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		add := func(values ...any) {
			t.Helper()
			if err := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(job.DefaultQueue), Values: values}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		add("job_id", "flat", "scanners", `["a","b"]`, "timeout_seconds", "30", "created_at", "1767323045", "extra", "1")
		add("data", `{"job_id":"json","scanners":["a"],"timeout_seconds":30,"created_at":"2026-01-02T03:04:05Z","n":9007199254740993}`)
		add("hello", "world")
		add("data", "no json")
		add("job_id", "bad{id}")
		add("job_id", "last", "scanners", "a, b", "timeout_seconds", "soon", "raw", "\xff")

		want := []job.Task{
			{JobID: "flat", Scanners: []string{"a", "b"}, TimeoutSeconds: 30, CreatedAt: created, Attributes: map[string]string{"extra": "1"}},
			{JobID: "json", Scanners: []string{"a"}, TimeoutSeconds: 30, CreatedAt: created, Attributes: map[string]string{"n": "9007199254740993"}},
			{JobID: "last", Scanners: []string{"a", "b"}, Attributes: map[string]string{"timeout_seconds": "soon"}, BinaryAttributes: map[string][]byte{"raw": {0xff}}},
		}
		var got []job.Task
		for _, d := range b.read(t, "w", 10) {
			got = append(got, d.Task)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("tasks (-want +got):", diff)
		}
		dead := b.stream(t, "argus_dead:"+job.DefaultQueue)
		var reasons []string
		for _, d := range dead {
			reasons = append(reasons, d.Values["argus_reason"].(string))
		}
		if len(dead) != 3 || !strings.Contains(reasons[0], "no job_id") || !strings.Contains(reasons[1], "not a JSON object") || !strings.Contains(reasons[2], "job_id") {
			t.Error("dead letters", reasons)
		}
		if dead[0].Values["hello"] != "world" {
			t.Error("the quarantined entry lost its fields:", dead[0].Values)
		}
		if n := b.pending(t); n != 3 {
			t.Error(n, "pending, want the 3 delivered")
		}
	})
}

// A raw worker of a JSON queue finds tasks in the form that it expects, and the event of their results.
func TestTasksAndEventsOfAJSONQueue(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"json-queue": {Encoding: job.EncodingJSON}}})
		_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "json-queue"},
			Task: job.Task{JobID: "j", Scanners: []string{"<a>"}, TimeoutSeconds: 7, CreatedAt: created, Attributes: map[string]string{"k": "v"}}})
		if err != nil {
			t.Fatal(err)
		}
		entry := b.stream(t, "json-queue")[0].Values
		data := `{"created_at":"2026-01-02T03:04:05Z","gcs_uri":"","job_id":"j","k":"v","organization_id":"","report_id":"","scanners":["<a>"],"timeout_seconds":7}`
		if diff := cmp.Diff(map[string]any{"data": data}, entry); diff != "" {
			t.Error(diff)
		}
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "json-queue", Consumer: "w"})
		if err != nil || len(d) != 1 {
			t.Fatalf("Read: %+v, %v; want len(d) == 1", d, err)
		}
		if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted, Fields: map[string]string{"n": "1"}}); err != nil {
			t.Fatal(err)
		}
		event := b.stream(t, "argus_completion:j")[0].Values
		if s := event["data"].(string); !strings.Contains(s, `"results":{"n":"1"}`) || !strings.Contains(s, `"status":"completed"`) || !strings.Contains(s, `"completed_at":"20`) {
			t.Error("event", event)
		}
	})
}

// A raw worker that starts after a task was published receives the task, however it was published, also
// when the queue's stream was deleted before.
func TestRawWorkerThatStartsLateMissesNoTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{
			"fair": {FairBy: job.FairByOrganization, FairAhead: 10}, "unique": {UniqueJobs: true}, "bounded": {MaxLength: 10}}})
		task := func(id string) job.Task { return job.Task{JobID: id} }
		one := func(name, id, request string, state *job.InitialState) error {
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name, RequestID: request}, Task: task(id), State: state})
			return err
		}
		ways := map[string]func(id string) error{
			"plain":   func(id string) error { return one("plain", id, "", nil) },
			"state":   func(id string) error { return one("state", id, "", &job.InitialState{}) },
			"request": func(id string) error { return one("request", id, id, nil) },
			"fair":    func(id string) error { return one("fair", id, "", nil) },
			"unique":  func(id string) error { return one("unique", id, "", nil) },
			"bounded": func(id string) error { return one("bounded", id, "", nil) },
			"batch": func(id string) error {
				_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{Queue: "batch"}, Tasks: []job.Task{task(id), task(id + "+")}})
				return err
			},
			"delayed": func(id string) error {
				_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "delayed"}, Task: task(id), Delay: time.Millisecond})
				if err == nil {
					await(t, b.ctx, func() bool {
						return b.broker.MoveDue(b.ctx) == nil && b.raw.XLen(b.ctx, b.key("delayed")).Val() == 1
					})
				}
				return err
			},
			"redriven": func(id string) error {
				if err := one("redriven", id, "", nil); err != nil {
					return err
				}
				d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "redriven", Consumer: "w", Max: 1})
				if err != nil || len(d) != 1 {
					return fmt.Errorf("%d deliveries: %w", len(d), err)
				}
				if err := b.nack(queue.NackRequest{Token: d[0].Lease.Token(), DeadLetter: true}); err != nil {
					return err
				}
				b.raw.Del(b.ctx, b.key("redriven"))
				_, err = b.broker.Redrive(b.ctx, "redriven", true, nil)
				return err
			},
		}
		for name, publish := range ways {
			for _, id := range []string{name + "-first", name + "-after-deletion"} {
				if err := publish(id); err != nil {
					t.Fatalf("publish: %+v, %v; want no error", name, err)
				}
				b.startLate(t, name)
				want := []string{id}
				if name == "batch" {
					want = append(want, id+"+")
				}
				if got := b.rawRead(t, name, job.DefaultGroup); !slices.Equal(got, want) {
					t.Errorf("%s: the late worker got %v, want %v", name, got, want)
				}
				b.raw.Del(b.ctx, b.key(name))
			}
		}
	})
}
