package broker_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// eachPage calls read with the token of each page of a list, and returns all that it lists.
func eachPage(t *testing.T, read func(token string) (page []string, next string, err error)) (all []string) {
	t.Helper()
	for token := ""; ; {
		page, next, err := read(token)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); next == "" {
			return all
		}
		token = next
	}
}

// sameJobs checks that a list has each of the jobs once.
func sameJobs(t *testing.T, what string, found, jobs []string) {
	t.Helper()
	found, jobs = slices.Sorted(slices.Values(found)), slices.Sorted(slices.Values(jobs))
	if !slices.Equal(found, jobs) {
		t.Errorf("%s lists %v, want %v", what, found, jobs)
	}
}

// second returns the error of a call.
func second[T any](_ T, err error) error { return err }

// deadLetters lists all dead letters in pages of 3: their jobs and their ids.
func (s sharded) deadLetters(t *testing.T) (jobs, ids []string) {
	t.Helper()
	jobs = eachPage(t, func(token string) (page []string, next string, err error) {
		letters, err := s.DeadLetters(s.ctx, "", token, 3)
		for _, d := range letters {
			page, ids = append(page, d.Task.JobID), append(ids, d.ID)
		}
		if len(letters) == 3 {
			next = letters[2].ID
		}
		return page, next, err
	})
	return jobs, ids
}

// Lists continue from shard to shard, and list each job once.
func TestListsCoverAllShards(t *testing.T) {
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
		sameJobs(t, "ListJobs", eachPage(t, func(token string) (page []string, next string, err error) {
			summaries, next, err := s.ListJobs(s.ctx, token, 3)
			for _, summary := range summaries {
				page = append(page, summary.JobID)
			}
			return page, next, err
		}), jobs)
		deliveries := s.readAll(t, 8)
		sameJobs(t, "Pending", eachPage(t, func(token string) (page []string, next string, err error) {
			pending, err := s.Pending(s.ctx, "", "", token, 3)
			for _, p := range pending {
				page = append(page, p.Task.JobID)
			}
			if len(pending) == 3 {
				next = pending[2].Cursor
			}
			return page, next, err
		}), jobs)
		s.rejectAll(t, deliveries)
		letters, _ := s.deadLetters(t)
		sameJobs(t, "DeadLetters", letters, jobs)
	})
}

// rejectAll makes dead letters of deliveries.
func (s sharded) rejectAll(t *testing.T, deliveries []queue.Delivery) {
	t.Helper()
	for _, d := range deliveries {
		if _, err := s.Nack(s.ctx, queue.NackRequest{Token: d.Lease.Token(), DeadLetter: true}); err != nil {
			t.Fatal(err)
		}
	}
}

// Dead letters of all shards are redriven and deleted in one call, and a queue is described with what it
// holds in all shards.
func TestDeadLettersOfAllShards(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		s.publishAll(t, "", spread()...)
		s.rejectAll(t, s.readAll(t, 8))
		_, ids := s.deadLetters(t)
		if n, err := s.Redrive(s.ctx, "", false, ids[:5]); n != 5 || err != nil {
			t.Errorf("%d were redriven, want 5; %v", n, err)
		}
		if n, err := s.DeleteDeadLetters(s.ctx, "", true, nil); n != 3 || err != nil {
			t.Errorf("%d were deleted, want the other 3; %v", n, err)
		}
		if q, _, err := s.Queues(s.ctx, "", 10); err != nil || len(q) != 1 || q[0].Waiting != 5 || q[0].Dead != 0 || q[0].Leased != 0 || len(q[0].Groups) != 1 || q[0].Groups[0].Waiting != 5 {
			t.Errorf("queues %+v, %v, want 5 tasks waiting in one", q, err)
		}
		if c, err := s.Consumers(s.ctx, "", ""); err != nil || len(c) != 1 || c[0].Name != "w" {
			t.Errorf("consumers %+v, %v, want w, which reads from all shards", c, err)
		}
	})
}

// A queue is paused, resumed and purged in all shards.
func TestPauseAndPurgeInAllShards(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		s.publishAll(t, "", spread()...)
		if err := s.Pause(s.ctx, ""); err != nil {
			t.Error(err)
		}
		if d, err := s.Read(s.ctx, queue.ReadRequest{Consumer: "w"}); err != nil || len(d) != 0 {
			t.Errorf("a paused queue delivered %+v, %v", d, err)
		}
		if err := s.Resume(s.ctx, ""); err != nil {
			t.Error(err)
		}
		if p, err := s.Purge(s.ctx, ""); err != nil || p != (admin.Purged{Waiting: 8}) {
			t.Errorf("purged %+v, %v, want 8 waiting", p, err)
		}
	})
}

// A page token, a dead letter and a queue that no shard can have are refused.
func TestAdministrationOfShardsRefusesBadArguments(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		for field, err := range map[string]error{
			"page_token": second(s.Pending(s.ctx, "", "", "4:0-1", 1)),
			"ids":        second(s.Redrive(s.ctx, "", false, []string{"0-1"})),
			"queue":      second(s.Queue(s.ctx, "a{b}")),
		} {
			var argument *job.ArgumentError
			if !errors.As(err, &argument) || argument.Field != field {
				t.Errorf("error %v, want one about %s", err, field)
			}
		}
		if _, err := s.Queue(s.ctx, "none"); !errors.Is(err, job.ErrQueueNotFound) {
			t.Errorf("a queue that does not exist: %v", err)
		}
	})
}
