package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// A full Redis refuses new tasks; the existing ones can be settled in every way, in queues of every kind.
func TestFullRedisRefusesTasksAndCanBeDrained(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]job.QueueSettings{
		"plain":  {},
		"json":   {Encoding: job.EncodingJSON},
		"unique": {UniqueJobs: true, MaxLength: 1000},
		"fair":   {FairBy: job.FairByOrganization},
		"limits": {FairBy: job.FairByOrganization, FairMaxInFlight: 2},
		"groups": {Groups: job.Groups{"archive"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, redistest.Own(t, "--maxmemory-policy", "noeviction").Engine(), job.Settings{Queue: config})
			const tasks = 12
			b.fill(t, tasks)
			held := b.readOne(t, "w") // before it is full
			if err := b.raw.ConfigSet(b.ctx, "maxmemory", "1").Err(); err != nil {
				t.Fatal(err)
			}
			if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "new", OrganizationID: "org-0"}}); !errors.Is(err, job.ErrOutOfMemory) {
				t.Error("publish:", err)
			}
			if _, err := b.broker.Extend(b.ctx, held.Lease.Token(), nil); err != nil {
				t.Error("extend:", err)
			}
			if _, err := b.broker.Extend(b.ctx, held.Lease.Token(), map[string]string{"progress": "1"}); err != nil {
				t.Error("extend with progress:", err)
			}
			b.expire(t, held.Lease) // an expired task is delivered again
			if r, err := b.broker.Ack(b.ctx, []string{b.readOne(t, "other").Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
				t.Error("ack:", r, err)
			}
			settle := b.waysToSettle()
			for _, how := range []string{"release", "nack", "later", "dead", "ack", "complete", "report"} {
				if err := settle[how](b.readOne(t, "w").Lease.Token()); err != nil {
					t.Errorf("%s: %v", how, err)
				}
			}
			for left := tasks - 1 - 5; left > 0; left-- {
				if err := settle["complete"](b.readOne(t, "w").Lease.Token()); err != nil {
					t.Error(err)
				}
			}
			if d := b.read(t, "w", 10); len(d) != 0 {
				t.Errorf("a drained queue delivered %+v", d)
			}
			if config.Groups != nil {
				for range tasks {
					if got := b.work(t, "", "archive"); got == "" {
						break
					}
				}
			}
			if q, err := b.broker.Queue(b.ctx, ""); err != nil || q.Waiting != 0 || q.Leased != 0 || q.Dead != 1 || q.Delayed != 1 {
				t.Errorf("queue %+v, %v, want 1 dead and 1 delayed", q, err)
			}
		})
	}
}

// waysToSettle are the calls that end a lease.
func (b *bundle) waysToSettle() map[string]func(token string) error {
	return map[string]func(token string) error{
		"release": func(token string) error { return b.nack(queue.NackRequest{Token: token, Release: true}) },
		"nack":    func(token string) error { return b.nack(queue.NackRequest{Token: token, Delay: new(time.Duration(0))}) },
		"later":   func(token string) error { return b.nack(queue.NackRequest{Token: token, Delay: new(time.Hour)}) },
		"dead":    func(token string) error { return b.nack(queue.NackRequest{Token: token, DeadLetter: true}) },
		"ack": func(token string) error {
			r, err := b.broker.Ack(b.ctx, []string{token})
			if err == nil && r[0].Outcome != queue.Acked {
				err = fmt.Errorf("%s", r[0].Outcome)
			}
			return err
		},
		"complete": func(token string) error {
			_, err := b.broker.Complete(b.ctx, token, job.Result{Status: job.StatusCompleted})
			return err
		},
		"report": func(token string) error {
			outcomes, err := b.broker.CompleteBatch(b.ctx, []result.Completion{{Token: token, Result: job.Result{Status: job.StatusFailed}}})
			if err == nil {
				err = outcomes[0].Err
			}
			return err
		},
	}
}

// fill publishes tasks of three organizations, every other one with a state.
func (b *bundle) fill(t *testing.T, tasks int) {
	t.Helper()
	for i := range tasks {
		r := queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i), OrganizationID: fmt.Sprint("org-", i%3)}}
		if i%2 == 0 {
			r.State = &job.InitialState{}
		}
		if _, _, err := b.broker.Publish(b.ctx, r); err != nil {
			t.Fatal(err)
		}
	}
}
