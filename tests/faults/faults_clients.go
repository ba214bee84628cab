package main

import (
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// Sizes of what clients do.
const (
	hoard     = 1000 // tasks that one worker takes
	crowdSize = 2000 // watches
	flood     = 1000 // tasks of the other tenant
)

var clientFaults = []scenario{
	{name: "a worker is killed with 1000 leases", build: everysec, inject: killHoarder},
	{name: "a poison task kills every worker", build: everysec, serve: []string{"--max-crashes", "3"}, inject: poison},
	{name: "another tenant publishes a flood", build: everysec, inject: floodOther},
	{name: "2000 watches connect again at once", build: everysec, begin: gather, inject: scatter, finish: tellCrowd},
	{name: "a watch is never read", build: everysec, begin: openDeaf, inject: withAlone(shout), finish: isCutOff},
	{name: "clients send garbage", build: everysec, inject: sendGarbage},
}

// numbered makes names that were not there before.
func (w *world) numbered(name string) string {
	w.names++
	return fmt.Sprint(name, "-", w.names)
}

// killHoarder kills a worker that holds 1000 tasks; the others stand still meanwhile.
func killHoarder(w *world) error {
	for _, worker := range w.main.workers {
		worker.signal(syscall.SIGSTOP)
		defer worker.signal(syscall.SIGCONT)
	}
	id := w.numbered("hoard")
	jobs := make([]string, hoard)
	for i := range jobs {
		jobs[i] = fmt.Sprint(id, "-", i)
	}
	for i, batch := range slices.Collect(slices.Chunk(jobs, hoard/2)) {
		if err := w.main.role.publishBatch(ctx, fmt.Sprint(id, ".", i), batch); err != nil {
			return err
		}
	}
	name := w.numbered("hoarder")
	hoarder, err := w.main.start("hoarder", name)
	if err != nil {
		return err
	}
	defer hoarder.end()
	err = until(30*time.Second, func() bool {
		events, err := history.Read(w.main.dir, name)
		return err == nil && len(events) >= hoard
	})
	if err != nil {
		return fmt.Errorf("the hoarder did not get %d tasks: %w", hoard, err)
	}
	return nil
}

// poison publishes a task that kills whoever gets it, until it is among the dead letters.
func poison(w *world) error {
	job := w.numbered("poison")
	w.main.role.publish(ctx, job, place{}, map[string]string{"poison": "yes"})
	revive := func() {
		for _, worker := range w.main.workers {
			if worker.hasEnded() {
				_ = worker.start()
			}
		}
	}
	defer revive()
	err := until(90*time.Second, func() bool {
		revive()
		store, err := w.main.store()
		if err != nil {
			return false
		}
		dead, err := store.XRange(ctx, w.main.key("argus_dead:argus_task_queue"), "-", "+").Result()
		return err == nil && slices.ContainsFunc(dead, func(e goredis.XMessage) bool { return e.Values["job_id"] == job })
	})
	if err != nil {
		return fmt.Errorf("the poison did not end in the dead letters: %w", err)
	}
	return nil
}

// floodOther has the other tenant publish as much as it can at once.
func floodOther(w *world) error {
	id := w.numbered("flood")
	for i := range flood / 100 {
		jobs := make([]string, 100)
		for k := range jobs {
			jobs[k] = fmt.Sprint(id, "-", i, "-", k)
		}
		if err := w.other.role.publishBatch(ctx, fmt.Sprint(id, ".", i), jobs); err != nil {
			return err
		}
	}
	return nil
}

const crowdName = "crowd"

// gather has thousands watch, each a job of its own.
func gather(w *world) error {
	p, err := w.main.start("crowd", crowdName, "-producer", crowdName, "-streams", strconv.Itoa(crowdSize))
	if err != nil {
		return err
	}
	w.extra = append(w.extra, p)
	return w.gathered()
}

// gathered waits until the crowd watches.
func (w *world) gathered() error {
	err := until(60*time.Second, func() bool {
		n := 0.0
		for _, s := range w.main.servers {
			n += s.metric("argus_watched_keys")
		}
		return n >= crowdSize
	})
	if err != nil {
		return fmt.Errorf("the crowd does not watch: %w", err)
	}
	return nil
}

// scatter kills all servers of the tenant; the crowd comes back at once. Raw peers write
// events before, so that watches have a cursor, and while no server is there.
func scatter(w *world) error {
	if err := w.tell(); err != nil {
		return err
	}
	pause(w, 200*time.Millisecond, 400*time.Millisecond)
	for _, s := range w.main.servers {
		s.kill()
	}
	if err := w.tell(); err != nil {
		return err
	}
	for _, s := range w.main.servers {
		if err := s.restarted(); err != nil {
			return err
		}
	}
	return w.gathered()
}

// tell adds an event to each job that the watcher waits for, as a raw peer would.
func (w *world) tell() error {
	store, err := w.main.store()
	if err != nil {
		return err
	}
	events, err := history.Read(w.main.dir, "watcher")
	if err != nil {
		return err
	}
	pipe := store.Pipeline()
	for _, job := range history.Waiting(events) {
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: w.main.key("argus_completion:" + job), Values: []any{"status", "running", "junk", "1"}})
	}
	_, err = pipe.Exec(ctx)
	return err
}

// tellCrowd gives each of the crowd its result, as a raw peer would, and waits until all
// have seen it; the checker says who has not.
func tellCrowd(w *world) error {
	store, err := w.main.store()
	if err != nil {
		return err
	}
	pipe := store.Pipeline()
	for i := range crowdSize {
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: w.main.key(fmt.Sprint("argus_completion:", crowdName, "-", i)), Values: []any{"status", "completed"}})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	_ = until(30*time.Second, func() bool {
		events, err := history.Read(w.main.dir, crowdName)
		return err == nil && len(events) >= crowdSize && len(history.Waiting(events)) == 0
	})
	w.extra[0].stop()
	return nil
}

// deaf is a watch that nobody reads.
type deaf struct {
	conn   *grpc.ClientConn
	stream grpc.ServerStreamingClient[argusv1.WatchResponse]
	since  time.Time // when it was told more than it can hold
}

const deafJob = "deaf"

func openDeaf(w *world) (err error) {
	w.deaf = &deaf{}
	if w.deaf.conn, err = grpc.NewClient(w.main.servers[0].addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStaticStreamWindowSize(64<<10)); err != nil {
		return err
	}
	w.deaf.stream, err = argusv1.NewCompletionClient(w.deaf.conn).Watch(ctx, &argusv1.WatchRequest{JobId: deafJob})
	return err
}

// shout adds events to the job of the deaf watch, more than fit into its window.
func shout(w *world, a *alone) error {
	text := make([]byte, 50<<10)
	for range 20 {
		if err := a.client.XAdd(ctx, &goredis.XAddArgs{Stream: w.main.key("argus_completion:" + deafJob), Values: []any{"status", "running", "text", text}}).Err(); err != nil {
			return err
		}
	}
	if w.deaf.since.IsZero() {
		w.deaf.since = time.Now()
	}
	return nil
}

// isCutOff checks that the server has ended the deaf watch, and said why.
func isCutOff(w *world) error {
	defer w.deaf.conn.Close()
	time.Sleep(time.Until(w.deaf.since.Add(12 * time.Second))) // it may take 10 s
	for {
		if _, err := w.deaf.stream.Recv(); err != nil {
			if status.Code(err) != codes.ResourceExhausted {
				return fmt.Errorf("the watch that was never read ended with %w", err)
			}
			return nil
		}
	}
}
