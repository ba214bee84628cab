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

// peerEvents appends n events as a raw peer does.
func (b *bundle) peerEvents(t *testing.T, id string, n int, values ...any) {
	t.Helper()
	for n > 0 {
		page := min(n, 1000)
		n -= page
		if _, err := b.raw.Pipelined(b.ctx, func(p goredis.Pipeliner) error {
			for range page {
				p.XAdd(b.ctx, entry(b.key("argus_completion:"+id), values...))
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
		b := setup(t, e, job.Settings{})
		for name, before := range map[string]func(id string){
			"first":          func(string) {},
			"after progress": func(id string) { b.report(t, id, job.StatusRunning) },
			"after many": func(id string) {
				for range 20 {
					b.report(t, id, job.StatusRunning)
				}
			},
			"after others": func(id string) { b.peerEvents(t, id, 520, "status", "running") },
			"after JSON":   func(id string) { b.peerEvents(t, id, 520, "data", `{"status":"running"}`) },
		} {
			t.Run(name, func(t *testing.T) {
				id := strings.ReplaceAll(name, " ", "-")
				b.publish(t, job.Task{JobID: id})
				token := b.readOne(t, "w").Lease.Token()
				before(id)
				first, err := b.broker.Complete(b.ctx, token, job.Result{Status: job.StatusCompleted})
				if err != nil || first.Already {
					t.Fatal(first, err)
				}
				events := b.stream(t, "argus_completion:"+id)
				check := func() {
					t.Helper()
					again, err := b.broker.Complete(b.ctx, token, job.Result{Status: job.StatusFailed})
					if err != nil || !again.Already || again.Cursor != first.Cursor {
						t.Error("complete:", again, err, "want", first.Cursor)
					}
					for _, status := range []job.Status{job.StatusFailed, job.StatusRunning} {
						again, err = b.broker.Report(b.ctx, id, job.Result{Status: status})
						if err != nil || !again.Already || again.Cursor != first.Cursor {
							t.Error("report:", again, err, "want", first.Cursor)
						}
					}
					if c, err := b.broker.Cancel(b.ctx, id, ""); err != nil || c.Was != job.StatusCompleted || c.Cursor != first.Cursor {
						t.Error("cancel:", c, err)
					}
					if info, err := b.broker.Job(b.ctx, id); err != nil || info.Result == nil || info.Result.Cursor != first.Cursor {
						t.Error("job:", info, err)
					}
				}
				check()
				b.peerEvents(t, id, 120, "status", "running")
				check()
				var copied []any
				for name, value := range events[len(events)-1].Values {
					copied = append(copied, name, value)
				}
				b.peerEvents(t, id, 1, copied...)
				b.peerEvents(t, id, 1, "status", "failed")
				b.peerEvents(t, id, 520, "data", `{"status":"running"}`)
				check()
				b.raw.Del(b.ctx, b.key("argus_scan:"+id)) // evicted
				check()
				if n := len(b.stream(t, "argus_completion:"+id)); n != len(events)+642 {
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
		b := setup(t, e, job.Settings{})
		for name, values := range map[string][]any{"fields": {"status", "partial"}, "json": {"data", `{"status":"partial"}`}} {
			b.peerEvents(t, name, 520, "data", `{"status":"running"}`)
			id := b.add(t, "argus_completion:"+name, values...)
			b.peerEvents(t, name, 120, "status", "running")
			b.publish(t, job.Task{JobID: name})
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				r, err := b.broker.Report(b.ctx, name, job.Result{Status: job.StatusFailed})
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
		b := setup(t, e, job.Settings{})
		for range 20 {
			b.report(t, "job", job.StatusRunning)
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
		if r, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted}); err != nil || !r.Already || r.Cursor != ids[0] {
			t.Error(r, err)
		}
	})
}

// The events of a job are bounded in bytes, a raw peer's too; its result is not.
func TestBytesOfEvents(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		large := job.Result{Status: job.StatusRunning, Fields: map[string]string{"a": strings.Repeat("x", 1<<20), "b": strings.Repeat("x", 1<<20)}}
		for _, id := range []string{"own", "peer"} {
			n := 0
			for ; n < 20; n++ {
				if id == "peer" && n%2 == 0 {
					b.peerEvents(t, id, 1, "status", "running", "x", strings.Repeat("x", 1<<20))
				}
				_, err := b.broker.Report(b.ctx, id, large)
				if errors.Is(err, job.ErrTooManyEvents) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if want := map[string]int{"own": 3, "peer": 2}[id]; n != want {
				t.Errorf("%s: %d reports of 2 MiB, want %d", id, n, want)
			}
			for range 20 { // small ones still fit
				b.report(t, id, job.StatusRunning)
			}
			b.peerEvents(t, id, 1, "status", "running", "x", strings.Repeat("x", 5<<20))
			if _, err := b.broker.Report(b.ctx, id, job.Result{Status: job.StatusRunning}); !errors.Is(err, job.ErrTooManyEvents) {
				t.Error(err)
			}
			large.Status = job.StatusCompleted
			if r, err := b.broker.Report(b.ctx, id, large); err != nil || r.Already {
				t.Error(r, err)
			}
			large.Status = job.StatusRunning
		}
		small := b.open(t, job.Settings{EventBytes: 1000})
		for i := range 100 {
			_, err := small.Report(b.ctx, "small", job.Result{Status: job.StatusRunning, Fields: map[string]string{"n": fmt.Sprint(i)}})
			if err != nil && (i < 10 || !errors.Is(err, job.ErrTooManyEvents)) {
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
		for _, encoding := range []job.Encoding{job.EncodingFields, job.EncodingJSON} {
			b := setup(t, e, job.Settings{Queue: job.QueueSettings{Encoding: encoding}})
			id := string(encoding)
			b.publish(t, job.Task{JobID: id})
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
			b.peerEvents(t, id, 20, "status", "running")
			if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if r, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil || r.Already {
				t.Error(id, r, err)
			}
		}
	})
}
