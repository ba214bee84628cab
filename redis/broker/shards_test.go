package broker_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/state"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

const shardCount = 4

// sharded is a bundle without a broker, and with shards.
type sharded struct {
	*bundle
	*broker.Broker
}

func shards(t *testing.T, e redistest.Engine, config job.Settings) sharded {
	t.Helper()
	e.Base, e.Shards = e.Prefix, shardCount
	b := &bundle{ctx: redistest.Context(t), engine: e, raw: e.Raw(t)}
	return sharded{b, openShards(t, patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Base, Shards: shardCount}), config)}
}

func openShards(t *testing.T, at redis.Config, config job.Settings) *broker.Broker {
	t.Helper()
	client, err := redis.NewClient(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	config.Logger = slog.New(slog.DiscardHandler)
	s, err := broker.New(redistest.Context(t), client, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// shardOf is how a raw peer finds a job's shard.
func shardOf(id string) int { return int(crc32.ChecksumIEEE([]byte(id)) % shardCount) }

// jobIn makes the nth id of a job that lies in a shard.
func jobIn(shard, n int) string {
	for i := 0; ; i++ {
		if id := fmt.Sprintf("job-%d-%d", n, i); shardOf(id) == shard {
			return id
		}
	}
}

func (s sharded) publishAll(t *testing.T, requestID string, jobs ...string) ([]queue.Published, bool) {
	t.Helper()
	r := queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{RequestID: requestID}}
	for _, id := range jobs {
		r.Tasks = append(r.Tasks, job.Task{JobID: id})
	}
	p, deduplicated, err := s.PublishBatch(s.ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range jobs {
		if id != "" && p[i].JobID != id || p[i].EntryID == "" {
			t.Errorf("task %d of %s was published as %v", i, id, p[i])
		}
	}
	return p, deduplicated
}

// spread is two jobs of each shard.
func spread() (jobs []string) {
	for n := range 2 {
		for i := range shardCount {
			jobs = append(jobs, jobIn(i, n))
		}
	}
	return jobs
}

func (s sharded) readAll(t *testing.T, n int) []queue.Delivery {
	t.Helper()
	var all []queue.Delivery
	for len(all) < n {
		d, err := s.Read(s.ctx, queue.ReadRequest{Consumer: "w", Max: 3, Wait: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d...)
	}
	return all
}

func TestShardsLiveOfAJob(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		jobs := spread()
		s.publishAll(t, "", jobs...)
		for i := range shardCount {
			if n := s.raw.XLen(s.ctx, s.engine.Shard(i)+job.DefaultQueue).Val(); n != 2 {
				t.Errorf("shard %d has %d tasks", i, n)
			}
		}
		if q, err := s.Queue(s.ctx, ""); err != nil || q.Waiting != 8 {
			t.Error(q, err)
		}
		w := s.Watches()
		defer w.Close()
		for _, id := range jobs {
			if err := w.Add(id, watch.Options{State: true}); err != nil {
				t.Fatal(err)
			}
		}
		deliveries := s.readAll(t, 8)
		held, err := s.Held(s.ctx, "", "", "w")
		if err != nil || len(held.Leases) != 8 {
			t.Error(held, err)
		}
		if pending, err := s.Pending(s.ctx, "", "", "", 100); err != nil || len(pending) != 8 {
			t.Error(pending, err)
		}
		var completions []result.Completion
		var tokens []string
		for i, d := range deliveries {
			if _, err := s.Extend(s.ctx, d.Lease.Token(), map[string]string{"step": "1"}); err != nil {
				t.Error(err)
			}
			if i%4 == 0 {
				tokens = append(tokens, d.Lease.Token())
				continue
			}
			completions = append(completions, result.Completion{Token: d.Lease.Token(), Result: job.Result{Status: job.StatusCompleted}})
		}
		outcomes, err := s.CompleteBatch(s.ctx, completions)
		if err != nil || slices.ContainsFunc(outcomes, func(o result.Outcome) bool { return o.Err != nil }) {
			t.Error(outcomes, err)
		}
		acked, err := s.Ack(s.ctx, append(tokens, "garbage", tokens[0]))
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, a := range acked {
			words = append(words, string(a.Outcome))
		}
		if got := strings.Join(words, " "); got != "ACKED ACKED INVALID NOT_PENDING" && got != "ACKED ACKED INVALID ACKED" {
			t.Error(got) // one of the same tokens twice in a call finds it pending
		}
		for done := 0; done < len(completions); {
			frame, err := w.Next(s.ctx, time.Minute)
			if err != nil || frame == nil || frame.Err != nil {
				t.Fatal(frame, err)
			}
			if frame.Done {
				done++
			}
		}
		for _, c := range completions {
			lease, _ := job.ParseLease(c.Token)
			if event, err := s.Await(s.ctx, lease.JobID, 0); err != nil || event == nil || event.Status != job.StatusCompleted {
				t.Error(lease.JobID, event, err)
			}
			if step, err := s.StateField(s.ctx, lease.JobID, "step"); err != nil || step != "1" {
				t.Error(step, err)
			}
		}
	})
}

func TestShardsRequestIDs(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		jobs := append(spread(), "", "")
		first, deduplicated := s.publishAll(t, "batch", jobs...)
		if deduplicated {
			t.Error("the first was taken for a repetition")
		}
		if first[8].JobID == "" || first[9].JobID == "" || shardOf(first[8].JobID) != shardOf(first[9].JobID) {
			t.Error("tasks without a job id lie apart:", first[8:])
		}
		second, deduplicated := s.publishAll(t, "batch", jobs...)
		if !deduplicated || !slices.Equal(first, second) {
			t.Errorf("%v the second time, %v the first", second, first)
		}
		for i := range 5 { // wherever the jobs lie, an id stands for one request
			id := queue.PublishOptions{RequestID: fmt.Sprint("one", i)}
			one, _, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id, Task: job.Task{JobID: jobIn(i%shardCount, 100)}})
			if err != nil {
				t.Fatal(err)
			}
			again, deduplicated, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id, Task: job.Task{JobID: jobIn(i%shardCount, 100)}})
			if err != nil || !deduplicated || again != one {
				t.Error(again, deduplicated, err)
			}
			if _, _, err = s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id, Task: job.Task{JobID: jobIn((i+1)%shardCount, 100)}}); !errors.Is(err, job.ErrRequestIDConflict) {
				t.Error("another job under the same request id:", err)
			}
			id.RequestID += "made"
			made, _, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id})
			if err != nil || made.JobID == "" {
				t.Fatal(made, err)
			}
			again, deduplicated, err = s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id})
			if err != nil || !deduplicated || again != made {
				t.Error(again, deduplicated, err)
			}
		}
		// What is refused claims no id.
		id := queue.PublishOptions{RequestID: "refused"}
		if _, _, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id, Task: job.Task{JobID: "{bad}"}}); !errors.Is(err, job.ErrInvalid) {
			t.Error(err)
		}
		if _, _, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id}); err != nil {
			t.Error(err)
		}
	})
}

// A bad task of a batch is named by its place in the whole batch, and nothing is written;
// a shard that refuses its part makes the outcome unknown.
func TestShardsRefuseABatch(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		tasks := []job.Task{{JobID: jobIn(0, 0)}, {JobID: jobIn(1, 0)}, {JobID: "{bad}"}}
		var argument *job.ArgumentError
		if _, _, err := s.PublishBatch(s.ctx, queue.PublishBatchRequest{Tasks: tasks}); !errors.As(err, &argument) || argument.Field != "tasks[2].job_id" {
			t.Error(err)
		}
		for i := range shardCount {
			if n := s.raw.XLen(s.ctx, s.engine.Shard(i)+job.DefaultQueue).Val(); n != 0 {
				t.Errorf("shard %d has %d tasks", i, n)
			}
		}
		if _, err := s.InitState(s.ctx, state.InitRequest{JobID: jobIn(1, 0)}); err != nil {
			t.Fatal(err)
		}
		r := queue.PublishBatchRequest{Tasks: tasks[:2], State: &job.InitialState{}}
		if _, _, err := s.PublishBatch(s.ctx, r); !errors.Is(err, job.ErrOutcomeUnknown) {
			t.Error(err)
		}
		r.Tasks = tasks[1:2]
		if _, _, err := s.PublishBatch(s.ctx, r); !errors.Is(err, job.ErrJobExists) {
			t.Error(err)
		}
		r.Tasks = []job.Task{{JobID: jobIn(2, 0)}, {JobID: jobIn(1, 0)}}
		r.RequestID = "r"
		for range 2 {
			if _, _, err := s.PublishBatch(s.ctx, r); !errors.Is(err, job.ErrJobExists) {
				t.Error(err)
			}
		}
		if n := s.raw.XLen(s.ctx, s.engine.Shard(2)+job.DefaultQueue).Val(); n != 1 {
			t.Errorf("%d tasks for one request", n)
		}
	})
}

// Whoever waits, waits for all shards, and each entry wakes one who gets it. In the second
// way nothing looks for entries that nobody was woken for.
func TestShardsWakeReaders(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		publish := func(id string) error {
			_, _, err := s.Publish(s.ctx, queue.PublishRequest{Task: job.Task{JobID: id}})
			return err
		}
		raw := func(id string) error {
			return s.raw.XAdd(s.ctx, &goredis.XAddArgs{Stream: s.engine.Shard(shardOf(id)) + job.DefaultQueue, Values: []any{"job_id", id}}).Err()
		}
		s.wake(t, 10, publish, raw)
		s.Close()
		s.wake(t, 100, publish)
	})
}

// wake publishes jobs of all shards to workers that wait, in one way after the other.
func (s sharded) wake(t *testing.T, rounds int, ways ...func(id string) error) {
	t.Helper()
	const workers = 6
	got := make(chan string, workers)
	ctx, cancel := context.WithCancel(s.ctx)
	var tasks sync.WaitGroup
	for i := range workers {
		tasks.Go(func() {
			for {
				deliveries, err := s.Read(ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: time.Minute})
				if ctx.Err() != nil {
					return
				}
				if err != nil || len(deliveries) != 1 {
					t.Error(deliveries, err)
					return
				}
				got <- deliveries[0].Task.JobID
			}
		})
	}
	defer tasks.Wait()
	defer cancel()
	for round := range rounds {
		var want, have []string
		for i := range workers {
			id := jobIn((round+i)%shardCount, round*workers+i)
			want = append(want, id)
			if err := ways[i%len(ways)](id); err != nil {
				t.Fatal(err)
			}
		}
		for range workers {
			select {
			case id := <-got:
				have = append(have, id)
			case <-s.ctx.Done():
				t.Fatalf("round %d: only %v came of %v", round, have, want)
			}
		}
		slices.Sort(want)
		slices.Sort(have)
		if !slices.Equal(want, have) {
			t.Fatalf("%v came, want %v", have, want)
		}
	}
	if w := s.WaitStats(); w.Workers > workers {
		t.Error(w)
	}
}

func TestShardsLists(t *testing.T) {
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
			for _, id := range page {
				found = append(found, id.JobID)
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

func TestShardsCancel(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		jobs := spread()
		s.publishAll(t, "", jobs...)
		s.readAll(t, 8)
		heard := s.Cancellations()
		defer heard.Close()
		for _, id := range jobs[:3] {
			if c, err := s.Cancel(s.ctx, id, "enough"); err != nil || c.Was != job.StatusRunning {
				t.Error(c, err)
			}
			select {
			case <-heard.Mail():
			case <-s.ctx.Done():
				t.Fatal("the cancellation was not heard")
			}
		}
		found, err := s.CancelledAmong(s.ctx, jobs)
		if slices.Sort(found); err != nil || !slices.Equal(found, slices.Sorted(slices.Values(jobs[:3]))) {
			t.Error(found, err)
		}
	})
}

// The number of shards is fixed by the first who starts.
func TestShardsAreFixed(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		for n := range 7 {
			client, err := redis.NewClient(patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix, Shards: n}))
			if err != nil {
				t.Fatal(err)
			}
			err = broker.CheckShards(s.ctx, client)
			var argument *job.ArgumentError
			if n == shardCount && err != nil || n != shardCount && (!errors.As(err, &argument) || !strings.Contains(argument.Problem, "first used with 4")) {
				t.Errorf("%d shards: %v", n, err)
			}
			_ = client.Close()
		}
		for i := shardCount; i < 7; i++ {
			if n := s.raw.Exists(s.ctx, s.engine.Shard(i)+"argus_queues:shards").Val(); n != 0 {
				t.Error("a refused start left a key in shard", i)
			}
		}
	})
}

// Each shard gets its part of a queue's limits.
func TestShardsShareLimits(t *testing.T) {
	t.Parallel()
	s := shards(t, redistest.Embedded(t), job.Settings{Queue: job.QueueSettings{MaxLength: 8}})
	s.publishAll(t, "", spread()...)
	for i := range shardCount {
		if _, _, err := s.Publish(s.ctx, queue.PublishRequest{Task: job.Task{JobID: jobIn(i, 50)}}); !errors.Is(err, job.ErrQueueFull) {
			t.Error(i, err)
		}
	}
}

// Over a Cluster the shards lie on all masters; when one is gone, the others' jobs go on,
// and when it is back, its own do.
func TestShardsOverACluster(t *testing.T) {
	t.Parallel()
	servers := redistest.OwnCluster(t, 3)
	ctx := redistest.Context(t)
	s := openShards(t, redis.Config{Addr: servers[0].Addr + "," + servers[1].Addr, Cluster: true, Prefix: "argus:", Shards: shardCount, ReadTimeout: time.Second}, job.Settings{})
	e := redistest.Engine{Base: "argus:"}
	shardAt := make(map[*redistest.Server][]int) // which shards a master has
	for i := range shardCount {
		key := e.Shard(i) + "argus_queues:shards"
		for _, server := range servers {
			if keys, err := (redistest.Engine{Addr: server.Addr}).Raw(t).Keys(ctx, "*").Result(); err != nil || slices.Contains(keys, key) {
				shardAt[server] = append(shardAt[server], i)
			}
		}
	}
	if len(shardAt) != 3 {
		t.Fatal("the shards lie on", shardAt)
	}
	read := func(n int) {
		t.Helper()
		for got := 0; got < n; {
			deliveries, err := s.Read(ctx, queue.ReadRequest{Consumer: "w", Max: 10, Wait: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range deliveries {
				if _, err := s.Complete(ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
					t.Fatal(err)
				}
			}
			got += len(deliveries)
		}
	}
	publish := func(n int, shards ...int) {
		t.Helper()
		for _, i := range shards {
			if _, _, err := s.Publish(ctx, queue.PublishRequest{Task: job.Task{JobID: jobIn(i, n)}}); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	publish(0, 0, 1, 2, 3)
	read(4)

	gone := servers[2]
	gone.Kill()
	var left []int
	for server, shards := range shardAt {
		if server != gone {
			left = append(left, shards...)
		}
	}
	await(t, ctx, func() bool { // the others notice, and go on without it
		_, _, err := s.Publish(ctx, queue.PublishRequest{Task: job.Task{JobID: jobIn(left[0], 1)}})
		return err == nil
	})
	read(1)
	publish(2, left...)
	read(len(left))
	if err := s.Ping(ctx); err != nil {
		t.Error("with two masters of three:", err)
	}
	w := s.Watches()
	defer w.Close()
	lost := jobIn(shardAt[gone][0], 3)
	for _, id := range []string{lost, jobIn(left[0], 2)} {
		if err := w.Add(id, watch.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	for done := false; !done; {
		frame, err := w.Next(ctx, time.Minute)
		if err != nil || frame == nil || frame.Err != nil || frame.JobID == lost {
			t.Fatal(frame, err)
		}
		done = frame.Done
	}
	if _, _, err := s.Publish(ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "r"}, Task: job.Task{JobID: lost}}); !errors.Is(err, job.ErrUnavailable) {
		t.Error(err)
	}

	if err := gone.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, ctx, func() bool {
		_, _, err := s.Publish(ctx, queue.PublishRequest{Task: job.Task{JobID: lost}})
		return err == nil
	})
	read(1)
	for done := false; !done; {
		frame, err := w.Next(ctx, time.Minute)
		if err != nil || frame == nil || frame.Err != nil {
			t.Fatal(frame, err)
		}
		done = frame.Done
	}
}
