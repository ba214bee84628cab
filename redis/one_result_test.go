package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// peerEvents appends n events as a raw peer does.
func (b *bundle) peerEvents(t *testing.T, job string, n int, values ...any) {
	t.Helper()
	for n > 0 {
		page := min(n, 1000)
		n -= page
		if _, err := b.raw.Pipelined(b.ctx, func(p goredis.Pipeliner) error {
			for range page {
				p.XAdd(b.ctx, entry(b.key("argus_completion:"+job), values...))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A job has one result, whatever raw peers append behind it: many events, events that look
// terminal, copies of the result itself.
func TestOneResultWhateverFollows(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		for name, before := range map[string]func(job string){
			"first":          func(string) {},
			"after progress": func(job string) { b.report(t, job, redis.StatusRunning) },
			"after many": func(job string) {
				for range 20 {
					b.report(t, job, redis.StatusRunning)
				}
			},
			"after others": func(job string) { b.peerEvents(t, job, 520, "status", "running") },
			"after JSON":   func(job string) { b.peerEvents(t, job, 520, "data", `{"status":"running"}`) },
		} {
			t.Run(name, func(t *testing.T) {
				job := strings.ReplaceAll(name, " ", "-")
				b.publish(t, redis.Task{JobID: job})
				token := b.readOne(t, "w").Lease.Token()
				before(job)
				first, err := b.broker.Complete(b.ctx, token, redis.Result{Status: redis.StatusCompleted})
				if err != nil || first.Already {
					t.Fatal(first, err)
				}
				events := b.stream(t, "argus_completion:"+job)
				check := func() {
					t.Helper()
					again, err := b.broker.Complete(b.ctx, token, redis.Result{Status: redis.StatusFailed})
					if err != nil || !again.Already || again.Cursor != first.Cursor {
						t.Error("complete:", again, err, "want", first.Cursor)
					}
					for _, status := range []redis.Status{redis.StatusFailed, redis.StatusRunning} {
						again, err = b.broker.Report(b.ctx, job, redis.Result{Status: status})
						if err != nil || !again.Already || again.Cursor != first.Cursor {
							t.Error("report:", again, err, "want", first.Cursor)
						}
					}
					if c, err := b.broker.Cancel(b.ctx, job, ""); err != nil || c.Was != redis.StatusCompleted || c.Cursor != first.Cursor {
						t.Error("cancel:", c, err)
					}
					if info, err := b.broker.Job(b.ctx, job); err != nil || info.Result == nil || info.Result.Cursor != first.Cursor {
						t.Error("job:", info, err)
					}
				}
				check()
				b.peerEvents(t, job, 120, "status", "running")
				check()
				var copied []any
				for name, value := range events[len(events)-1].Values {
					copied = append(copied, name, value)
				}
				b.peerEvents(t, job, 1, copied...)
				b.peerEvents(t, job, 1, "status", "failed")
				b.peerEvents(t, job, 520, "data", `{"status":"running"}`)
				check()
				b.raw.Del(b.ctx, b.key("argus_scan:"+job)) // evicted
				check()
				if n := len(b.stream(t, "argus_completion:"+job)); n != len(events)+642 {
					t.Error(n, "events, of which", len(events)+642, "were written")
				}
			})
		}
	})
}

// A raw peer's result is the job's, however many events are around it.
func TestResultOfARawPeerAmongMany(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		for name, values := range map[string][]any{"fields": {"status", "partial"}, "json": {"data", `{"status":"partial"}`}} {
			b.peerEvents(t, name, 520, "data", `{"status":"running"}`)
			id := b.add(t, "argus_completion:"+name, values...)
			b.peerEvents(t, name, 120, "status", "running")
			b.publish(t, redis.Task{JobID: name})
			if err := b.nack(redis.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				r, err := b.broker.Report(b.ctx, name, redis.Result{Status: redis.StatusFailed})
				if err != nil || !r.Already || r.Cursor != id {
					t.Error(name, r, err, "want", id)
				}
			}
		}
	})
}

// A stream that was deleted takes what is known of it along.
func TestEventsDeletedByAPeer(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		for range 20 {
			b.report(t, "job", redis.StatusRunning)
		}
		if n := b.raw.Exists(b.ctx, b.key("argus_scan:job")).Val(); n != 1 {
			t.Fatal("where the walk ended is not kept")
		}
		b.raw.Del(b.ctx, b.key("argus_completion:job"))
		ids := []string{"1-1", "2-1"} // before all that was there
		for _, id := range ids {
			add := entry(b.key("argus_completion:job"), "status", "failed")
			add.ID = id
			b.raw.XAdd(b.ctx, add)
		}
		if r, err := b.broker.Report(b.ctx, "job", redis.Result{Status: redis.StatusCompleted}); err != nil || !r.Already || r.Cursor != ids[0] {
			t.Error(r, err)
		}
	})
}

// The events of a job are bounded in bytes, a raw peer's too; its result is not.
func TestBytesOfEvents(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		large := redis.Result{Status: redis.StatusRunning, Fields: map[string]string{"a": strings.Repeat("x", 1<<20), "b": strings.Repeat("x", 1<<20)}}
		for _, job := range []string{"own", "peer"} {
			n := 0
			for ; n < 20; n++ {
				if job == "peer" && n%2 == 0 {
					b.peerEvents(t, job, 1, "status", "running", "x", strings.Repeat("x", 1<<20))
				}
				_, err := b.broker.Report(b.ctx, job, large)
				if errors.Is(err, redis.ErrTooManyEvents) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if want := map[string]int{"own": 3, "peer": 2}[job]; n != want {
				t.Errorf("%s: %d reports of 2 MiB, want %d", job, n, want)
			}
			for range 20 { // small ones still fit
				b.report(t, job, redis.StatusRunning)
			}
			b.peerEvents(t, job, 1, "status", "running", "x", strings.Repeat("x", 5<<20))
			if _, err := b.broker.Report(b.ctx, job, redis.Result{Status: redis.StatusRunning}); !errors.Is(err, redis.ErrTooManyEvents) {
				t.Error(err)
			}
			large.Status = redis.StatusCompleted
			if r, err := b.broker.Report(b.ctx, job, large); err != nil || r.Already {
				t.Error(r, err)
			}
			large.Status = redis.StatusRunning
		}
		small := b.open(t, redis.BrokerConfig{EventBytes: 1000})
		for i := range 100 {
			_, err := small.Report(b.ctx, "small", redis.Result{Status: redis.StatusRunning, Fields: map[string]string{"n": fmt.Sprint(i)}})
			if err != nil && (i < 10 || !errors.Is(err, redis.ErrTooManyEvents)) {
				t.Fatal(i, err)
			}
		}
		if n := len(b.stream(t, "argus_completion:small")); n < 10 || n > 20 {
			t.Error(n, "events in 1000 bytes")
		}
	})
}

// A redriven task's result is withdrawn, whatever raw peers appended behind it.
func TestRedriveWithEventsBehindTheResult(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		for _, encoding := range []redis.Encoding{redis.EncodingFields, redis.EncodingJSON} {
			b := setup(t, e, redis.BrokerConfig{Queue: redis.QueueConfig{Encoding: encoding}})
			job := string(encoding)
			b.publish(t, redis.Task{JobID: job})
			if err := b.nack(redis.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
			b.peerEvents(t, job, 20, "status", "running")
			if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if r, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), redis.Result{Status: redis.StatusCompleted}); err != nil || r.Already {
				t.Error(job, r, err)
			}
		}
	})
}
