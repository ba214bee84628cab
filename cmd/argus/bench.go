package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/server/codec"
)

// benchFlags say what load a benchmark makes.
type benchFlags struct {
	onQueue                                                          string
	clients, connections, batch, rate, size, workers, maxOutstanding int
	duration                                                         time.Duration
	csv                                                              bool
}

// benchAttribute carries when a task was published, in ns, for the process that measures.
const benchAttribute = "bench_at"

func (p *program) bench() *cobra.Command {
	bench := &cobra.Command{
		Use:   "bench",
		Short: "Measure a server: publish, consume, both end to end, or watch",
		Long: `Measure a server. The load is real: the tasks go into queues of their own, argus_bench and
argus_bench_e2e, unless another is named, and jobs get their results. Times are those that this client sees, so
run it where your clients run.`,
		Example: "  argus bench e2e --rate 1000 --duration 10s",
		RunE:    needsCommand,
	}
	bench.AddCommand(
		p.benchmark("publish", "Publish tasks: the time is that of a call",
			"  argus bench publish --clients 64 --duration 5s\n  argus bench publish --batch 100 --csv\n  argus queue purge argus_bench --yes", publishLoad),
		p.benchmark("consume", "Work off the queue on streams: the time is from a frame with results to its answer",
			"  argus bench publish --batch 100 && argus bench consume --workers 4", consumeLoad),
		p.benchmark("e2e", "Publish and work off: the time is from before the publish to the delivery",
			"  argus bench e2e --rate 500\n  argus bench e2e --clients 4 --batch 64", e2eLoad),
		p.benchmark("watch", "Watch jobs, one stream each: the time is from before an event is published to its frame",
			"  argus bench watch --clients 1000 --rate 1000", watchLoad),
	)
	return bench
}

// makeLoad makes a load until ctx ends, and measures it.
type makeLoad func(ctx context.Context, b *benchRun) error

func (p *program) benchmark(name, short, example string, run makeLoad) *cobra.Command {
	var f benchFlags
	command, c := p.command(&cobra.Command{Use: name, Short: short, Example: example, Args: noArgs},
		func(ctx context.Context, c *client, _ []string) error {
			b := &benchRun{benchFlags: f, client: c}
			if err := b.check(name); err != nil {
				return err
			}
			if err := b.connect(); err != nil {
				return err
			}
			defer b.close()
			if err := run(ctx, b); err != nil {
				return err
			}
			return b.report(name)
		})
	flags := command.Flags()
	flags.IntVar(&f.clients, "clients", 16, "how many make calls, or watch, at a time")
	flags.IntVar(&f.connections, "connections", 4, "how many connections they share")
	flags.DurationVar(&f.duration, "duration", 5*time.Second, "how long to measure")
	flags.BoolVar(&f.csv, "csv", false, "print the figures as CSV, with a head")
	if name != "consume" {
		flags.IntVar(&f.rate, "rate", map[string]int{"watch": 1000}[name], "how many tasks or events a second; 0 means as many as it takes")
	}
	if name != "watch" {
		// What publish leaves behind is not in the way of e2e.
		queue := "argus_bench"
		if name == "e2e" {
			queue += "_e2e"
		}
		flags.StringVar(&f.onQueue, "queue", queue, "queue")
	}
	if name == "publish" || name == "e2e" {
		flags.IntVar(&f.batch, "batch", 1, "how many tasks a call publishes")
		flags.IntVar(&f.size, "size", 200, "how large a task's attribute is, in bytes")
	}
	if name == "consume" || name == "e2e" {
		flags.IntVar(&f.workers, "workers", 4, "how many streams work")
		flags.IntVar(&f.maxOutstanding, "max-outstanding", 256, "how many tasks a stream may have that are not settled")
	}
	c.connection()
	return command
}

// benchRun is one run of a benchmark.
type benchRun struct {
	benchFlags
	*client
	connected []*grpc.ClientConn

	mu     sync.Mutex
	meters []*meter
	took   time.Duration
	notes  []string
}

// meter is what one client counts.
type meter struct {
	mu    sync.Mutex
	done  int
	times []time.Duration
}

func (m *meter) add(n int, times ...time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.times = append(m.times, times...)
}

func (b *benchRun) meter() *meter {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := &meter{}
	b.meters = append(b.meters, m)
	return m
}

func (b *benchRun) check(name string) error {
	if name == "watch" && b.rate < 1 {
		return usageError(errors.New("rate: must be at least 1"))
	}
	for flag, ok := range map[string]bool{
		"clients": b.clients >= 1 && b.clients <= 100000, "connections": b.connections >= 1 && b.connections <= 1000,
		"duration": b.duration > 0, "rate": b.rate >= 0, "batch": b.batch >= 1 && b.batch <= 1000,
		"size": b.size >= 0 && b.size <= 1<<20, "workers": b.workers >= 1, "max-outstanding": b.maxOutstanding >= 1 && b.maxOutstanding <= 1000,
	} {
		if !ok && b.flags.Lookup(flag) != nil {
			return usageError(fmt.Errorf("%s: out of bounds (clients 1 to 100000, connections 1 to 1000, batch and max-outstanding 1 to 1000, size 0 to 1 MiB, the others more than 0)", flag))
		}
	}
	return nil
}

func (b *benchRun) connect() error {
	for range b.connections {
		conn, err := b.dial(grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New())))
		if err != nil {
			return err
		}
		b.connected = append(b.connected, conn)
	}
	return nil
}

func (b *benchRun) close() {
	for _, conn := range b.connected {
		_ = conn.Close()
	}
}

func (b *benchRun) conn(n int) *grpc.ClientConn { return b.connected[n%len(b.connected)] }

// paced calls do for each client again and again, at the rate, until the duration is over.
// do gets how many tasks the call is to do.
func (b *benchRun) paced(ctx context.Context, do func(ctx context.Context, client int) (int, error)) error {
	start := time.Now()
	ctx, cancel := context.WithDeadline(ctx, start.Add(b.duration))
	defer cancel()
	var all errgroup.Group
	for i := range b.clients {
		all.Go(func() error {
			next := start
			if b.rate > 0 { // spread evenly
				next = next.Add(time.Second * time.Duration(i) / time.Duration(b.rate))
			}
			for {
				if wait := time.Until(next); b.rate > 0 && wait > 0 && !pause(ctx, wait) {
					return nil
				}
				if time.Since(start) >= b.duration || ctx.Err() != nil {
					return nil
				}
				n, err := do(context.WithoutCancel(ctx), i)
				if err != nil {
					return err
				}
				if b.rate > 0 {
					next = next.Add(time.Second * time.Duration(n*b.clients) / time.Duration(b.rate))
				}
			}
		})
	}
	err := all.Wait()
	b.took = time.Since(start)
	return err
}

// publishes makes a publisher of tasks that say when they were published.
func (b *benchRun) publishes(done func(client, n int, took time.Duration)) func(context.Context, int) (int, error) {
	padding := strings.Repeat("x", b.size)
	task := func() *argusv1.Task {
		return &argusv1.Task{OrganizationId: "bench", Attributes: map[string]string{"padding": padding, benchAttribute: strconv.FormatInt(time.Now().UnixNano(), 10)}}
	}
	return func(ctx context.Context, client int) (int, error) {
		queue := argusv1.NewTaskQueueClient(b.conn(client))
		start := time.Now()
		var err error
		if b.batch == 1 {
			_, err = queue.Publish(ctx, &argusv1.PublishRequest{Queue: b.onQueue, Task: task()})
		} else {
			r := &argusv1.PublishBatchRequest{Queue: b.onQueue}
			for range b.batch {
				r.Tasks = append(r.Tasks, task())
			}
			_, err = queue.PublishBatch(ctx, r)
		}
		if err == nil {
			done(client, b.batch, time.Since(start))
		}
		return b.batch, err
	}
}

func publishLoad(ctx context.Context, b *benchRun) error {
	meters := make([]*meter, b.clients)
	for i := range meters {
		meters[i] = b.meter()
	}
	return b.paced(ctx, b.publishes(func(client, n int, took time.Duration) { meters[client].add(n, took) }))
}

// consumes works tasks off on streams, until ctx ends. It tells of each task when it was
// published, and of each frame of results how long its answer took.
func (b *benchRun) consumes(ctx context.Context, delivered func(worker int, at []time.Time), answered func(worker, n int, took time.Duration)) error {
	var all errgroup.Group
	for w := range b.workers {
		stream, err := argusv1.NewTaskQueueClient(b.conn(w)).Consume(ctx)
		if err != nil {
			return err
		}
		start := &argusv1.ConsumeStart{Queue: b.onQueue, Consumer: fmt.Sprint("bench-", uuid.NewString()[:8], "-", w), MaxOutstanding: int32(b.maxOutstanding)}
		if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: start}}); err != nil {
			return err
		}
		all.Go(func() error {
			sent := make(map[uint32]time.Time)
			for id := uint32(1); ; id++ {
				r, err := stream.Recv()
				if errors.Is(err, io.EOF) || ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				if failure := r.GetFailure(); failure != nil {
					return errors.New(failure.GetMessage())
				}
				if at, ok := sent[r.GetId()]; ok {
					delete(sent, r.GetId())
					answered(w, len(r.GetCompleteBatch().GetOutcomes()), time.Since(at))
				}
				deliveries := r.GetDeliveries().GetDeliveries()
				if len(deliveries) == 0 {
					continue
				}
				results := &argusv1.CompleteBatchRequest{}
				at := make([]time.Time, 0, len(deliveries))
				for _, d := range deliveries {
					results.Requests = append(results.Requests, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED})
					if ns, err := strconv.ParseInt(d.GetTask().GetAttributes()[benchAttribute], 10, 64); err == nil {
						at = append(at, time.Unix(0, ns))
					}
				}
				delivered(w, at)
				sent[id] = time.Now()
				if err := stream.Send(&argusv1.ConsumeRequest{Id: id, Request: &argusv1.ConsumeRequest_CompleteBatch{CompleteBatch: results}}); err != nil {
					return err
				}
			}
		})
	}
	return all.Wait()
}

func consumeLoad(ctx context.Context, b *benchRun) error {
	meters := make([]*meter, b.workers)
	for i := range meters {
		meters[i] = b.meter()
	}
	// No deadline: the server would know it, and could end the streams first.
	timed, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(b.duration, cancel).Stop()
	start := time.Now()
	last := atomic.Int64{}
	err := b.consumes(timed, func(int, []time.Time) {}, func(w, n int, took time.Duration) {
		meters[w].add(n, took)
		last.Store(int64(time.Since(start)))
	})
	if b.took = time.Duration(last.Load()); b.took == 0 { // nothing was there
		b.took = time.Since(start)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// drainFor is how long what was published may take to be delivered after the last publish.
const drainFor = 30 * time.Second

func e2eLoad(ctx context.Context, b *benchRun) error {
	meters := make([]*meter, b.workers)
	for i := range meters {
		meters[i] = b.meter()
	}
	began := time.Now()
	var published, delivered atomic.Int64
	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	go func() {
		worked <- b.consumes(working, func(w int, at []time.Time) {
			now := time.Now()
			times := make([]time.Duration, 0, len(at))
			for _, t := range at {
				if !t.Before(began) { // else it is left from before
					times = append(times, now.Sub(t))
				}
			}
			meters[w].add(len(times), times...)
			delivered.Add(int64(len(times)))
		}, func(int, int, time.Duration) {})
	}()
	if err := b.paced(ctx, b.publishes(func(_, n int, _ time.Duration) { published.Add(int64(n)) })); err != nil {
		return err
	}
	for end := time.Now().Add(drainFor); delivered.Load() < published.Load() && time.Now().Before(end); {
		select {
		case err := <-worked:
			return cmp.Or(err, errors.New("the streams ended early"))
		default:
			if !pause(ctx, 10*time.Millisecond) {
				return ctx.Err()
			}
		}
	}
	b.took = time.Since(began)
	b.notes = append(b.notes, fmt.Sprintf("%d published, %d delivered", published.Load(), delivered.Load()))
	stop()
	if err := <-worked; err != nil {
		return err
	}
	if delivered.Load() < published.Load() {
		return fmt.Errorf("%s: the others did not come within %s", b.notes[0], drainFor)
	}
	return nil
}

// eventsPerJob bounds how many events a watched job gets.
const eventsPerJob = 900

func watchLoad(ctx context.Context, b *benchRun) error {
	if events := float64(b.rate) * b.duration.Seconds() / float64(b.clients); events > eventsPerJob {
		return usageError(fmt.Errorf("clients: %.0f events for each of %d jobs are too many (%d); use more clients, a lower rate or a shorter duration", events, b.clients, eventsPerJob))
	}
	run := "bench-" + uuid.NewString()[:8]
	job := func(i int) string { return fmt.Sprint(run, "-", i) }
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var ready, all errgroup.Group
	start := time.Now()
	for i := range b.clients {
		m := b.meter()
		stream, err := argusv1.NewCompletionClient(b.conn(i)).Watch(watching, &argusv1.WatchRequest{JobId: job(i)})
		if err != nil {
			return err
		}
		first := make(chan error, 1)
		ready.Go(func() error { return <-first })
		all.Go(func() error {
			_, err := stream.Recv() // the snapshot
			first <- err
			for err == nil {
				var r *argusv1.WatchResponse
				if r, err = stream.Recv(); err == nil && r.GetEvent() != nil {
					if ns, err := strconv.ParseInt(r.GetEvent().GetFields()[benchAttribute], 10, 64); err == nil {
						m.add(1, time.Since(time.Unix(0, ns)))
					}
				}
			}
			if errors.Is(err, io.EOF) || watching.Err() != nil {
				return nil
			}
			return err
		})
	}
	if err := ready.Wait(); err != nil {
		return err
	}
	b.notes = append(b.notes, fmt.Sprintf("%d streams in %.2f s", b.clients, time.Since(start).Seconds()))
	event := func(ctx context.Context, i int, status argusv1.JobStatus) error {
		_, err := argusv1.NewCompletionClient(b.conn(i)).Publish(ctx, &argusv1.CompletionPublishRequest{JobId: job(i), Status: status,
			Fields: map[string]string{benchAttribute: strconv.FormatInt(time.Now().UnixNano(), 10)}})
		return err
	}
	if err := b.paced(ctx, func(ctx context.Context, i int) (int, error) {
		return 1, event(ctx, i, argusv1.JobStatus_JOB_STATUS_RUNNING)
	}); err != nil {
		return err
	}
	var ends errgroup.Group
	ends.SetLimit(64)
	for i := range b.clients {
		ends.Go(func() error { return event(context.WithoutCancel(ctx), i, argusv1.JobStatus_JOB_STATUS_COMPLETED) })
	}
	if err := ends.Wait(); err != nil {
		return err
	}
	return all.Wait()
}

// figures are what a benchmark found.
type figures struct {
	Benchmark string  `json:"benchmark"`
	Clients   int     `json:"clients"`
	Seconds   float64 `json:"seconds"`
	Count     int     `json:"count"`
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50Ms"`
	P90       float64 `json:"p90Ms"`
	P99       float64 `json:"p99Ms"`
	Max       float64 `json:"maxMs"`
	// What single clients did, per second.
	ClientMin    float64 `json:"clientMinPerSecond"`
	ClientMedian float64 `json:"clientMedianPerSecond"`
	ClientMax    float64 `json:"clientMaxPerSecond"`
}

func (b *benchRun) figures(name string) figures {
	f := figures{Benchmark: name, Clients: len(b.meters), Seconds: b.took.Seconds()}
	var times []time.Duration
	var each []float64
	for _, m := range b.meters {
		m.mu.Lock()
		f.Count += m.done
		times = append(times, m.times...)
		each = append(each, float64(m.done)/f.Seconds)
		m.mu.Unlock()
	}
	f.PerSecond = float64(f.Count) / f.Seconds
	slices.Sort(times)
	slices.Sort(each)
	at := func(q float64) float64 {
		if len(times) == 0 {
			return 0
		}
		return float64(times[int(q*float64(len(times)-1))].Microseconds()) / 1000
	}
	f.P50, f.P90, f.P99, f.Max = at(0.5), at(0.9), at(0.99), at(1)
	f.ClientMin, f.ClientMedian, f.ClientMax = each[0], each[len(each)/2], each[len(each)-1]
	return f
}

func (b *benchRun) report(name string) error {
	f := b.figures(name)
	switch {
	case b.csv:
		_, err := fmt.Fprintf(b.stdout, "benchmark,clients,seconds,count,per_second,p50_ms,p90_ms,p99_ms,max_ms,client_min_per_second,client_median_per_second,client_max_per_second\n%s,%d,%.3f,%d,%.1f,%.3f,%.3f,%.3f,%.3f,%.1f,%.1f,%.1f\n",
			f.Benchmark, f.Clients, f.Seconds, f.Count, f.PerSecond, f.P50, f.P90, f.P99, f.Max, f.ClientMin, f.ClientMedian, f.ClientMax)
		return err
	case b.Output != "table":
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(b.stdout, string(text))
		return err
	}
	ms := func(n float64) string { return fmt.Sprintf("%.2f", n) }
	err := b.table([]string{"BENCHMARK", "COUNT", "PER SECOND", "P50 MS", "P90 MS", "P99 MS", "MAX MS", "EACH CLIENT PER SECOND"},
		[]string{name, fmt.Sprint(f.Count), fmt.Sprintf("%.0f", f.PerSecond), ms(f.P50), ms(f.P90), ms(f.P99), ms(f.Max),
			fmt.Sprintf("%.0f – %.0f – %.0f", f.ClientMin, f.ClientMedian, f.ClientMax)})
	for _, note := range b.notes {
		if _, printErr := fmt.Fprintln(b.stdout, note); err == nil {
			err = printErr
		}
	}
	return err
}
