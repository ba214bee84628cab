package broker

import (
	"context"
	"sync"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/state"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// shard is the parts of one shard, in the order of their construction: each may use the ones above it.
type shard struct {
	*conn.Shard
	waiters *queue.Waitlists
	watches *watch.Subscriptions

	scheduler *queue.Scheduler
	results   *result.Lookup
	recorder  *result.Recorder
	states    *state.Store
	watch     *watch.Hub

	registry  *queue.Registry
	settler   *queue.Settler
	reader    *queue.Reader
	locator   *queue.Locator
	canceller *queue.Canceller
	publisher *queue.Publisher

	trimmer *admin.Trimmer
	queues  *admin.Queues
	lists   *admin.TaskLister
	letters *admin.DeadLetters
	jobs    *admin.Jobs
	cleaner *admin.Cleaner

	stop context.CancelFunc
	work sync.WaitGroup
}

// newShard assembles a shard and starts its background work, which close ends. owns reports whether a
// job belongs to the shard; nil when all jobs do.
func newShard(c *conn.Conn, settings job.Settings, owns func(jobID string) bool) *shard {
	ctx, stop := context.WithCancel(context.Background())
	base := &conn.Shard{Conn: c, Settings: settings, Log: settings.Logger, Owns: owns}
	s := &shard{Shard: base, stop: stop, waiters: queue.NewWaitlists(), watches: watch.NewSubscriptions(c.Keys)}
	s.scheduler = queue.NewScheduler(base, s.waiters)
	s.results = result.NewLookup(base, s.watches)
	s.recorder = result.NewRecorder(base, s.watches, s.scheduler)
	s.states = state.NewStore(base, s.results, s.watches)
	s.watch = watch.NewHub(base, s.results, s.states, s.waiters, s.watches)
	s.registry = queue.NewRegistry(base)
	s.settler = queue.NewSettler(base, s.waiters, s.watches, s.registry, s.recorder, s.scheduler)
	s.reader = queue.NewReader(base, s.waiters, s.registry, s.settler)
	s.locator = queue.NewLocator(base)
	s.canceller = queue.NewCanceller(base, s.watches, s.results, s.recorder, s.locator)
	marks := queue.NewUniqueMarks(base, s.results, s.locator)
	s.publisher = queue.NewPublisher(base, s.waiters, s.watches, s.registry, s.reader, marks, s.scheduler)
	s.trimmer = admin.NewTrimmer(base)
	s.queues = admin.NewQueues(base, s.waiters, s.registry, s.canceller, s.trimmer)
	s.lists = admin.NewTaskLister(base, s.locator)
	s.letters = admin.NewDeadLetters(base, s.waiters, s.watches, marks)
	s.jobs = admin.NewJobs(s.locator, s.results, s.states)
	s.cleaner = admin.NewCleaner(base, s.registry, s.queues, s.trimmer)
	for _, run := range []func(context.Context){s.watch.Run, s.scheduler.Run, s.cleaner.Run, s.results.Run} {
		s.work.Go(func() { run(ctx) })
	}
	return s
}

// close ends the background work and waits for it.
func (s *shard) close() {
	s.stop()
	s.work.Wait()
}
