package broker_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Reads and publishes continue after a group, the stream or the scripts were deleted.
func TestReadsContinueAfterKeysAreDeleted(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		d := b.readOne(t, "w")
		b.raw.XGroupDestroy(b.ctx, b.key(job.DefaultQueue), job.DefaultGroup)
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrLeaseLost) {
			t.Error("without its group:", err)
		}
		if d := b.readOne(t, "w"); d.Task.JobID != "a" {
			t.Error("after XGROUP DESTROY:", d)
		}
		b.raw.Del(b.ctx, b.key(job.DefaultQueue))
		if d := b.read(t, "w", 1); len(d) != 0 {
			t.Error("after DEL:", d)
		}
		b.raw.ScriptFlush(b.ctx)
		b.publish(t, job.Task{JobID: "b"})
		if d := b.readOne(t, "w"); d.Task.JobID != "b" {
			t.Error("after SCRIPT FLUSH:", d)
		}
	})
}

// When the stream or the group is deleted, the broker continues and logs what was lost.
func TestDeletionUnderTheBrokerIsLogged(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		if e.Real() {
			e = redistest.Own(t).Engine() // for FLUSHALL
		}
		for name, c := range map[string]struct {
			destroy func(b *bundle)
			logs    string
			again   bool // what was leased is delivered again
		}{
			"stream": {func(b *bundle) { b.raw.Del(b.ctx, b.key(job.DefaultQueue)) }, "the queue's stream was deleted", false},
			"group":  {func(b *bundle) { b.raw.XGroupDestroy(b.ctx, b.key(job.DefaultQueue), job.DefaultGroup) }, "the consumer group was deleted", true},
			"all":    {func(b *bundle) { b.raw.FlushAll(b.ctx); b.raw.ScriptFlush(b.ctx) }, "the queue's stream was deleted", false},
		} {
			t.Run(name, func(t *testing.T) {
				var log logged
				b := setup(t, e, job.Settings{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				b.publish(t, job.Task{JobID: "leased"})
				d := b.readOne(t, "w")
				c.destroy(b)
				if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrLeaseLost) {
					t.Error("Complete:", err)
				}
				if c.again {
					if d = b.readOne(t, "w"); d.Task.JobID != "leased" {
						t.Error(d)
					}
				} else {
					b.read(t, "w", 1)
				}
				if !log.has(c.logs) {
					t.Errorf("the log lacks %q:\n%s", c.logs, log.text.String())
				}
				b.publish(t, job.Task{JobID: "next"})
				if d = b.readOne(t, "w"); d.Task.JobID != "next" {
					t.Error(d)
				}
				b.raw.Del(b.ctx, b.key(job.DefaultQueue))
			})
		}
	})
}
