package broker_test

import (
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// When Redis can't remember all the watched keys, some are polled; needless notifications come to an end, one
// warning is logged, and no event is missed.
func TestKeysThatRedisCannotTrackArePolled(t *testing.T) {
	t.Parallel()
	var log logged
	b := setup(t, redistest.Own(t, "--tracking-table-max-keys", "300").Engine(), job.Settings{Logger: newLog(&log)})
	const jobs = 1500
	all := b.broker.Watches()
	defer all.Close()
	for i := range jobs {
		if err := all.Add(fmt.Sprint("job-", i), watch.Options{State: i%3 == 0}); err != nil {
			t.Fatal(err)
		}
	}
	for range jobs {
		if frame, err := all.Next(b.ctx, longWait); err != nil || frame == nil || frame.Snapshot == nil {
			t.Fatal(frame, err)
		}
	}
	ended := make(chan error, 1)
	go func() { // the stream's goroutine
		for done := 0; done < jobs; {
			frame, err := all.Next(b.ctx, longWait)
			if err != nil || frame != nil && frame.Err != nil {
				ended <- fmt.Errorf("%v, %w", frame, err)
				return
			}
			if frame != nil && frame.Done {
				done++
			}
		}
		ended <- nil
	}()
	await(t, b.ctx, func() bool {
		s := b.broker.WaitStats()
		return s.Tracking && s.Polled >= s.Keys-300
	})
	last, quiet := int64(0), 0
	await(t, b.ctx, func() bool {
		if rings := b.broker.WaitStats().Changes; rings != last {
			last, quiet = rings, 0
		}
		quiet++
		return quiet == 30
	})
	log.mu.Lock()
	if n := strings.Count(log.text.String(), "tracking-table-max-keys"); n != 1 {
		t.Error(n, "warnings")
	}
	log.mu.Unlock()
	for at := 0; at < jobs; at += 100 {
		if _, err := b.raw.Pipelined(b.ctx, func(p goredis.Pipeliner) error {
			for i := range 100 {
				p.HSet(b.ctx, b.key(fmt.Sprint("job_state:job-", at+i)), "status", "completed")
				p.XAdd(b.ctx, entry(b.key(fmt.Sprint("argus_completion:job-", at+i)), "status", "completed"))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
