package broker_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

func TestAdministrationOverAllShards(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		jobs := spread()
		s.publishAll(t, "", jobs...)
		for _, id := range jobs {
			if _, err := s.InitState(s.ctx, state.InitRequest{JobID: id}); err != nil {
				t.Fatal(err)
			}
		}
		sorted := slices.Sorted(slices.Values(jobs))
		check := func(what string, found []string) {
			t.Helper()
			if slices.Sort(found); !slices.Equal(found, sorted) {
				t.Errorf("%s lists %v, want %v", what, found, sorted)
			}
		}
		var found []string
		for token := ""; ; {
			page, next, err := s.ListJobs(s.ctx, token, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, summary := range page {
				found = append(found, summary.JobID)
			}
			if token = next; next == "" {
				break
			}
		}
		check("ListJobs", found)
		deliveries := s.readAll(t, 8)
		found = nil
		for after := ""; ; {
			page, err := s.Pending(s.ctx, "", "", after, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page {
				found = append(found, p.Task.JobID)
			}
			if len(page) < 3 {
				break
			}
			after = page[2].Cursor
		}
		check("Pending", found)
		for _, d := range deliveries {
			if _, err := s.Nack(s.ctx, queue.NackRequest{Token: d.Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
		}
		var ids []string
		found = nil
		for after := ""; ; {
			page, err := s.DeadLetters(s.ctx, "", after, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page {
				found, ids = append(found, d.Task.JobID), append(ids, d.ID)
			}
			if len(page) < 3 {
				break
			}
			after = page[2].ID
		}
		check("DeadLetters", found)
		if n, err := s.Redrive(s.ctx, "", false, ids[:5]); n != 5 || err != nil {
			t.Error(n, err)
		}
		if n, err := s.DeleteDeadLetters(s.ctx, "", true, nil); n != 3 || err != nil {
			t.Error(n, err)
		}
		if q, _, err := s.Queues(s.ctx, "", 10); err != nil || len(q) != 1 || q[0].Waiting != 5 || q[0].Dead != 0 || q[0].Leased != 0 || len(q[0].Groups) != 1 || q[0].Groups[0].Waiting != 5 {
			t.Error(q, err)
		}
		if c, err := s.Consumers(s.ctx, "", ""); err != nil || len(c) != 1 || c[0].Name != "w" {
			t.Error(c, err)
		}
		if err := s.Pause(s.ctx, ""); err != nil {
			t.Error(err)
		}
		if d, err := s.Read(s.ctx, queue.ReadRequest{Consumer: "w"}); err != nil || len(d) != 0 {
			t.Error("of a paused queue:", d, err)
		}
		if err := s.Resume(s.ctx, ""); err != nil {
			t.Error(err)
		}
		if p, err := s.Purge(s.ctx, ""); err != nil || p.Waiting != 5 {
			t.Error(p, err)
		}
		for what, err := range map[string]error{
			"page_token": second(s.Pending(s.ctx, "", "", "4:0-1", 1)),
			"ids":        second(s.Redrive(s.ctx, "", false, []string{"0-1"})),
			"queue":      second(s.Queue(s.ctx, "a{b}")),
		} {
			var argument *job.ArgumentError
			if !errors.As(err, &argument) || argument.Field != what {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := s.Queue(s.ctx, "none"); !errors.Is(err, job.ErrQueueNotFound) {
			t.Error(err)
		}
	})
}

func second[T any](_ T, err error) error { return err }
