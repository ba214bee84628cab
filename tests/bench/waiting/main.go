// Command waiting measures what waiting costs: watches and idle workers of one server,
// beside the naive way, a Redis connection for each who waits, in the same run. See
// docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

var (
	streams    = flag.String("streams", "1000,10000", "how many Watch streams")
	sweeps     = flag.String("sweep", "100,10000", "how many Watch streams on a Redis that does not track keys")
	jobs       = flag.String("jobs", "100000", "how many jobs on WatchMany streams")
	workers    = flag.Int("workers", 1000, "how many idle workers")
	naive      = flag.Int("naive", 1000, "how many watchers with a connection each")
	rate       = flag.Int("rate", 1000, "completions per second")
	flood      = flag.Int("flood", 10000, "how many tasks of a loud organization lie in front of a quiet one's")
	quietTasks = flag.Int("quiet", 500, "how many tasks the quiet one has")
	rounds     = flag.Int("rounds", 3, "how often everything is measured; the table has the medians, with the least and the most")
	duration   = flag.Duration("duration", 5*time.Second, "how long each is measured")
	leastAddr  = flag.String("least", "", "serve as the least service, at this address, and nothing else")
	redisAddr  = flag.String("redis", "", "the least service's Redis")
)

func main() {
	flag.Parse()
	if *leastAddr != "" {
		fail(serveLeast(*redisAddr, *leastAddr))
	}
	ctx := context.Background()
	r, err := rig.Start(ctx, rig.Options{Config: fairConfig})
	if err != nil {
		fail(err)
	}
	running = append(running, r)
	defer r.Close()
	table := rig.NewTable("what", "p50 ms", "p99 ms", "max ms", "Redis connections", "server bytes each", "Redis bytes each", "connected in")

	swept, err := rig.Start(ctx, rig.Options{IsSwept: true})
	if err != nil {
		fail(err)
	}
	running = append(running, swept)
	defer swept.Close()
	idle := rig.NewTable("what", "p50 ms", "p99 ms", "max ms", "Redis commands/s idle", "Redis CPU % idle", "server CPU % idle")
	turns := rig.NewTable("what", "took", "against alone")
	for range *rounds {
		naiveWatchers(ctx, r, table, *naive)
		least, err := startLeast(ctx, r)
		if err != nil {
			fail(err)
		}
		running = append(running, least)
		watchers(ctx, least, table, *naive, "raw", leastService)
		least.Close()
		for _, n := range rig.Numbers(*streams) {
			for _, way := range []string{"gRPC", "raw"} {
				watchers(ctx, r, table, n, way, "")
			}
		}
		for _, n := range rig.Numbers(*jobs) {
			watchMany(ctx, r, table, n)
		}
		for _, n := range rig.Numbers(*sweeps) {
			watchers(ctx, swept, table, n, "raw", ", by sweep")
		}
		r.Raw.FlushAll(ctx) // else the janitor has something to do: what raw peers wrote has no TTL
		naiveWorkers(ctx, r, idle)
		least, err = startLeast(ctx, r)
		if err != nil {
			fail(err)
		}
		running = append(running, least)
		idleWorkers(ctx, least, idle, "Consume", leastService)
		least.Close()
		idleWorkers(ctx, r, idle, "Read", "")
		idleWorkers(ctx, r, idle, "Consume", "")
		fairness(ctx, r, turns)
		for _, store := range []*rig.Rig{r, swept} {
			store.Raw.FlushAll(ctx)
		}
	}
	for _, t := range []*rig.Table{table, idle, turns} {
		t.Print(os.Stdout)
		fmt.Println()
	}
}

// running is what is to be stopped when the benchmark fails.
var running []*rig.Rig

func fail(err error) {
	for _, r := range running {
		r.Close()
	}
	log.Fatal(err)
}

func jobID(run string, i int) string { return fmt.Sprintf("%s-%07d", run, i) }

// times are when events were written, by job.
type times struct {
	sent []atomic.Int64
	got  rig.Latencies
}

func newTimes(n int) *times { return &times{sent: make([]atomic.Int64, n)} }

func (t *times) receive(i int) {
	if at := t.sent[i].Swap(0); at != 0 {
		t.got.Add(time.Duration(time.Now().UnixNano() - at))
	}
}

// publish writes events at the rate, to jobs that have no event on its way.
func (t *times) publish(write func(i int) error) {
	ticker := time.NewTicker(time.Second / time.Duration(*rate))
	defer ticker.Stop()
	var flights sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i, end := 0, time.Now().Add(*duration); time.Now().Before(end); i++ {
		<-ticker.C
		n := i * 7919 % len(t.sent)
		if !t.sent[n].CompareAndSwap(0, time.Now().UnixNano()) {
			continue
		}
		slots <- struct{}{}
		flights.Go(func() {
			defer func() { <-slots }()
			if err := write(n); err != nil {
				fail(err)
			}
		})
	}
	flights.Wait()
	time.Sleep(500 * time.Millisecond) // what is still on its way
}

func xadd(ctx context.Context, raw *goredis.Client, job string) error {
	return raw.XAdd(ctx, &goredis.XAddArgs{Stream: "argus:argus_completion:" + job, Values: []any{"job_id", job, "status", "running"}}).Err()
}

// naiveWatchers have a connection each, and block on it.
func naiveWatchers(ctx context.Context, r *rig.Rig, table *rig.Table, n int) {
	ctx, cancel := context.WithCancel(ctx)
	t, before := newTimes(n), r.Clients()
	pool := goredis.NewClient(&goredis.Options{Addr: r.RedisAddr, Protocol: 2, PoolSize: n, ReadTimeout: -1})
	var ready, all sync.WaitGroup
	start := time.Now()
	for i := range n {
		ready.Add(1)
		all.Go(func() {
			last, first := "0", true
			for ctx.Err() == nil {
				if first {
					ready.Done()
					first = false
				}
				reply, err := pool.XRead(ctx, &goredis.XReadArgs{Streams: []string{"argus:argus_completion:" + jobID("naive", i), last}, Block: time.Second}).Result()
				if err == nil {
					last = reply[0].Messages[len(reply[0].Messages)-1].ID
					t.receive(i)
				}
			}
		})
	}
	ready.Wait()
	took := time.Since(start)
	time.Sleep(time.Second)
	clients := r.Clients() - before
	t.publish(func(i int) error { return xadd(ctx, r.Raw, jobID("naive", i)) })
	table.Row(append([]string{fmt.Sprintf("%d naive watchers, raw XADD", n)}, append(t.got.Row(), fmt.Sprint(clients), "-", "-", rig.Seconds(took))...)...)
	cancel()
	_ = pool.Close()
	all.Wait()
}

// watchers have a Watch stream each.
func watchers(ctx context.Context, r *rig.Rig, table *rig.Table, n int, way, mode string) {
	ctx, cancel := context.WithCancel(ctx)
	run := fmt.Sprintf("%s-%d", way, n)
	t, rss, memory, before := newTimes(n), r.ServerRSS(), r.RedisMemory(), r.Clients()
	var ready, all sync.WaitGroup
	start := time.Now()
	open := func(i int) {
		stream, err := argusv1.NewCompletionClient(r.Conn(i/500)).Watch(ctx, &argusv1.WatchRequest{JobId: jobID(run, i), HeartbeatInterval: durationpb.New(time.Hour)})
		if err != nil {
			fail(err)
		}
		first := true
		all.Go(func() {
			for {
				frame, err := stream.Recv()
				if err != nil {
					return
				}
				if first {
					ready.Done()
					first = false
				}
				if frame.GetEvent() != nil {
					t.receive(i)
				}
			}
		})
	}
	ready.Add(n)
	for i := range n {
		open(i)
	}
	ready.Wait()
	took := time.Since(start)
	time.Sleep(time.Second)
	clients, each, redisEach := r.Clients()-before, (r.ServerRSS()-rss)/int64(n), (r.RedisMemory()-memory)/int64(n)
	done := argusv1.NewCompletionClient(r.Conn(9999))
	t.publish(func(i int) error {
		if way == "raw" {
			return xadd(ctx, r.Raw, jobID(run, i))
		}
		_, err := done.Publish(ctx, &argusv1.CompletionPublishRequest{JobId: jobID(run, i), Status: argusv1.JobStatus_JOB_STATUS_RUNNING})
		return err
	})
	name := "Completion.Publish"
	if way == "raw" {
		name = "raw XADD"
	}
	table.Row(append([]string{fmt.Sprintf("%d Watch streams, %s%s", n, name, mode)}, append(t.got.Row(), fmt.Sprint(clients), fmt.Sprint(each), fmt.Sprint(redisEach), rig.Seconds(took))...)...)
	cancel()
	all.Wait()
}

// watchMany watches many jobs on ten streams.
func watchMany(ctx context.Context, r *rig.Rig, table *rig.Table, n int) {
	ctx, cancel := context.WithCancel(ctx)
	const streams = 10
	run := fmt.Sprint("many-", n)
	t, rss, memory, before := newTimes(n), r.ServerRSS(), r.RedisMemory(), r.Clients()
	index := make(map[string]int, n)
	for i := range n {
		index[jobID(run, i)] = i
	}
	var ready, all sync.WaitGroup
	ready.Add(n)
	start := time.Now()
	for s := range streams {
		stream, err := argusv1.NewCompletionClient(r.Conn(s)).WatchMany(ctx)
		if err != nil {
			fail(err)
		}
		all.Go(func() {
			for {
				frame, err := stream.Recv()
				switch {
				case err != nil:
					return
				case frame.GetSnapshot() != nil:
					ready.Done()
				case frame.GetEvent() != nil:
					t.receive(index[frame.GetJobId()])
				}
			}
		})
		request := &argusv1.WatchManyRequest{HeartbeatInterval: durationpb.New(time.Hour)}
		for i := s; i < n; i += streams {
			request.Add = append(request.Add, &argusv1.WatchJob{JobId: jobID(run, i)})
		}
		for part := range slices.Chunk(request.Add, 5000) {
			if err := stream.Send(&argusv1.WatchManyRequest{Add: part, HeartbeatInterval: request.HeartbeatInterval}); err != nil {
				fail(err)
			}
		}
	}
	ready.Wait()
	took := time.Since(start)
	time.Sleep(time.Second)
	clients, each, redisEach := r.Clients()-before, (r.ServerRSS()-rss)/int64(n), (r.RedisMemory()-memory)/int64(n)
	t.publish(func(i int) error { return xadd(ctx, r.Raw, jobID(run, i)) })
	table.Row(append([]string{fmt.Sprintf("%d jobs on %d WatchMany streams, raw XADD", n, streams)}, append(t.got.Row(), fmt.Sprint(clients), fmt.Sprint(each), fmt.Sprint(redisEach), rig.Seconds(took))...)...)
	cancel()
	all.Wait()
}

// publishTasks publishes a task every 5 ms and notes when.
func publishTasks(t *times, write func(i int) error) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for i, end := 0, time.Now().Add(*duration); time.Now().Before(end) && i < len(t.sent); i++ {
		<-ticker.C
		t.sent[i].Store(time.Now().UnixNano())
		if err := write(i); err != nil {
			fail(err)
		}
	}
	time.Sleep(500 * time.Millisecond)
}

const maxTasks = 100_000

// naiveWorkers block on XREADGROUP with a connection each: 16 of them.
func naiveWorkers(ctx context.Context, r *rig.Rig, table *rig.Table) {
	ctx, cancel := context.WithCancel(ctx)
	const n, stream = 16, "argus:naive"
	t := newTimes(maxTasks)
	pool := goredis.NewClient(&goredis.Options{Addr: r.RedisAddr, Protocol: 2, PoolSize: n, ReadTimeout: -1})
	pool.XGroupCreateMkStream(ctx, stream, "g", "0")
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				reply, err := pool.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: "g", Consumer: fmt.Sprint(i), Streams: []string{stream, ">"}, Count: 1, Block: time.Second}).Result()
				if err != nil {
					continue
				}
				m := reply[0].Messages[0]
				n := 0
				_, _ = fmt.Sscan(m.Values["n"].(string), &n)
				t.receive(n)
				pool.XAck(ctx, stream, "g", m.ID)
				pool.XDel(ctx, stream, m.ID)
			}
		})
	}
	time.Sleep(time.Second)
	usage := r.Idle(*duration)
	publishTasks(t, func(i int) error {
		return r.Raw.XAdd(ctx, &goredis.XAddArgs{Stream: stream, Values: []any{"n", i}}).Err()
	})
	table.Row(append([]string{fmt.Sprintf("%d raw XREADGROUP BLOCK", n)}, append(t.got.Row(), usage...)...)...)
	cancel()
	_ = pool.Close()
	all.Wait()
}

// idleWorkers wait by Read or by Consume.
func idleWorkers(ctx context.Context, r *rig.Rig, table *rig.Table, way, service string) {
	ctx, cancel := context.WithCancel(ctx)
	t, queue := newTimes(maxTasks), "idle-"+way
	got := func(d *argusv1.Delivery) {
		n := 0
		_, _ = fmt.Sscan(d.GetTask().GetReportId(), &n)
		t.receive(n)
	}
	var all sync.WaitGroup
	for i := range *workers {
		client := argusv1.NewTaskQueueClient(r.Conn(i / 500))
		all.Go(func() {
			for ctx.Err() == nil {
				if way == "Read" {
					reply, err := client.Read(ctx, &argusv1.ReadRequest{Queue: queue, Consumer: fmt.Sprint("w", i), Wait: durationpb.New(time.Minute)})
					for _, d := range reply.GetDeliveries() {
						got(d)
						_, err = client.Ack(ctx, &argusv1.AckRequest{LeaseTokens: []string{d.GetLeaseToken()}})
					}
					if err != nil && ctx.Err() == nil {
						fail(err)
					}
					continue
				}
				stream, err := client.Consume(ctx)
				if err != nil {
					return
				}
				_ = stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{
					Queue: queue, Consumer: fmt.Sprint("w", i), MaxOutstanding: 1, HeartbeatInterval: durationpb.New(time.Hour)}}})
				for {
					frame, err := stream.Recv()
					if err != nil {
						break
					}
					for _, d := range frame.GetDeliveries().GetDeliveries() {
						got(d)
						_ = stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Ack{Ack: &argusv1.AckRequest{LeaseTokens: []string{d.GetLeaseToken()}}}})
					}
				}
			}
		})
	}
	time.Sleep(3 * time.Second)
	usage := r.Idle(*duration)
	producer := argusv1.NewTaskQueueClient(r.Conn(9999))
	publishTasks(t, func(i int) error {
		_, err := producer.Publish(ctx, &argusv1.PublishRequest{Queue: queue, Task: &argusv1.Task{JobId: jobID(way, i), ReportId: fmt.Sprint(i)}})
		return err
	})
	table.Row(append([]string{fmt.Sprintf("%d idle %s workers%s", *workers, way, service)}, append(t.got.Row(), usage...)...)...)
	cancel()
	all.Wait()
}
