package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Queues are listed in pages, in the order of their names.
func TestQueuesAreListedInPages(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		var want []string
		for i := range 250 {
			want = append(want, fmt.Sprintf("q-%03d", i))
			b.raw.SAdd(b.ctx, b.key("argus_queues:known"), want[i])
			if i%3 == 0 {
				b.raw.XAdd(b.ctx, entry(b.key(want[i]), "job_id", "job"))
			}
			if i%50 == 0 {
				b.raw.Del(b.ctx, b.key(want[i]))
				b.raw.Set(b.ctx, b.key(want[i]), "of another type", 0)
			}
		}
		want = append([]string{job.DefaultQueue}, slices.DeleteFunc(want, func(name string) bool { return name[3:] == "00" || name[3:] == "50" })...)
		for _, size := range []int{7, 100, 1000} {
			var got []string
			for after := ""; ; {
				page, next, err := b.broker.Queues(b.ctx, after, size)
				if err != nil || len(page) > size {
					t.Fatalf("Queues: %+v, %v; want len(page) <= size", len(page), err)
				}
				for _, q := range page {
					if got = append(got, q.Name); q.Waiting > 0 && q.Oldest.IsZero() {
						t.Error(q)
					}
				}
				if after = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("in pages of %d: %q", size, got)
			}
		}
		if _, _, err := b.broker.Queues(b.ctx, "{", 10); !errors.Is(err, job.ErrInvalid) {
			t.Errorf("Queues: %v; want the error ErrInvalid", err)
		}
	})
}
