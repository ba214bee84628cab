package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// BrokerConfig says how a Broker treats its queues. The zero value of a field means
// its default.
type BrokerConfig struct {
	// DefaultQueue and DefaultGroup are used where a request names none.
	DefaultQueue string
	DefaultGroup string
	// Queue is how queues are treated that Queues does not name.
	Queue QueueConfig
	// Queues are the queues that are treated in their own way.
	Queues map[string]QueueConfig
	// StateTTL is how long a job's state is kept; default 7 days.
	StateTTL time.Duration
	// CompletionTTL is how long a job's events are kept; default 7 days.
	CompletionTTL time.Duration
	// EventBytes is how large a job's events may be before its terminal one, all together;
	// default 8 MiB.
	EventBytes int
	// RequestWindow is how long a request id is remembered after the last call with it; default
	// 24 hours.
	RequestWindow time.Duration
	// MaxQueues is how many queues there may be; default 10,000. Those of DefaultQueue and of
	// Queues are not refused.
	MaxQueues int
	// DeadLetterTTL is how long a dead letter is kept; default 30 days.
	DeadLetterTTL time.Duration
	// Logger gets what can't be returned to a caller; default slog.Default.
	Logger *slog.Logger
}

// QueueConfig is how one queue is treated. The zero value of a field means its default.
type QueueConfig struct {
	// Encoding is how tasks and completions are written; default EncodingFields.
	Encoding Encoding `yaml:"encoding,omitempty"`
	// JSONNumbers names attributes that EncodingJSON writes as numbers, where their value is
	// one, beside those that are always: retry_count and ttl_seconds.
	JSONNumbers []string `yaml:"json_numbers,omitempty"`
	// Groups are the consumer groups that tasks are kept for from the first publish on, and that
	// may read, beside the default group and those that exist; or AnyGroup alone, with which a
	// reader creates the group that it names.
	Groups Groups `yaml:"groups,omitempty"`
	// Lease is how long a worker has until it must settle or extend; default 60 s.
	Lease time.Duration `yaml:"lease,omitempty"`
	// MaxAttempts is how often a task may be given back before it goes to the dead
	// letters; default 10.
	MaxAttempts int `yaml:"max_attempts,omitempty"`
	// MaxCrashes is how often a task's lease may run out, because its worker vanished,
	// before it goes to the dead letters; default 10. Crashes and attempts are counted
	// apart, so that restarts don't use up the attempts.
	MaxCrashes int `yaml:"max_crashes,omitempty"`
	// RetryMin is how long a task that was given back for the first time waits, on
	// average three quarters of it; default 1 s. It doubles with each further time, up to
	// RetryMax, default 10 min.
	RetryMin time.Duration `yaml:"retry_min,omitempty"`
	RetryMax time.Duration `yaml:"retry_max,omitempty"`
	// MaxLength is how many tasks the queue may hold, waiting, delayed and leased; 0 for
	// any number.
	MaxLength int `yaml:"max_length,omitempty"`
	// WaitReplicas is how many replicas must have a publish or a result before it is
	// acknowledged; 0 for none. When they are too few after WaitTimeout, default 1 s and at
	// most half of Config.ReadTimeout, the call fails with ErrUnavailable and is to be
	// repeated; ErrOutcomeUnknown where that could do it twice.
	WaitReplicas int           `yaml:"wait_replicas,omitempty"`
	WaitTimeout  time.Duration `yaml:"wait_timeout,omitempty"`
	// UniqueJobs refuses a task whose job has an unfinished task already.
	UniqueJobs bool `yaml:"unique_jobs,omitempty"`
	// FairBy makes the queue fair: FairByOrganization lets organizations take turns, however
	// much one of them publishes. Raw peers that publish into the stream are served before
	// all others.
	FairBy string `yaml:"fair_by,omitempty"`
	// FairWeights give organizations other shares than 1: one of weight 3 gets three turns
	// to another's one.
	FairWeights map[string]float64 `yaml:"fair_weights,omitempty"`
	// FairMaxInFlight is how many tasks of one organization may be under way, delivered and
	// not settled; 0 for any number. FairMaxInFlightOf says it for single organizations.
	FairMaxInFlight   int            `yaml:"fair_max_in_flight,omitempty"`
	FairMaxInFlightOf map[string]int `yaml:"fair_max_in_flight_of,omitempty"`
	// FairAhead is how many tasks lie in the stream before a worker asks for them; default
	// 1. Raw workers find no others: they want more, at the cost of fairness.
	FairAhead int `yaml:"fair_ahead,omitempty"`
}

// maxTTL is how long anything may be kept: ten years.
const maxTTL = 10 * 365 * 24 * time.Hour

// DefaultLease is how long a delivery is leased.
const DefaultLease = 60 * time.Second

var defaultQueueConfig = QueueConfig{Encoding: EncodingFields, Lease: DefaultLease,
	MaxAttempts: 10, MaxCrashes: 10, RetryMin: time.Second, RetryMax: 10 * time.Minute, WaitTimeout: time.Second}

func (c QueueConfig) withDefaults(defaults QueueConfig) QueueConfig {
	if c.Encoding == "" {
		c.Encoding = defaults.Encoding
	}
	if c.JSONNumbers == nil {
		c.JSONNumbers = defaults.JSONNumbers
	}
	if c.Groups == nil {
		c.Groups = defaults.Groups
	}
	c.Lease = orDefault(c.Lease, defaults.Lease)
	c.MaxAttempts = orDefault(c.MaxAttempts, defaults.MaxAttempts)
	c.MaxCrashes = orDefault(c.MaxCrashes, defaults.MaxCrashes)
	c.RetryMin = orDefault(c.RetryMin, defaults.RetryMin)
	c.RetryMax = orDefault(c.RetryMax, defaults.RetryMax)
	c.MaxLength = orDefault(c.MaxLength, defaults.MaxLength)
	c.WaitReplicas = orDefault(c.WaitReplicas, defaults.WaitReplicas)
	c.WaitTimeout = orDefault(c.WaitTimeout, defaults.WaitTimeout)
	c.UniqueJobs = c.UniqueJobs || defaults.UniqueJobs
	if c.FairBy == "" && defaults.FairBy != "" {
		c.FairBy, c.FairWeights, c.FairAhead = defaults.FairBy, defaults.FairWeights, defaults.FairAhead
		c.FairMaxInFlight, c.FairMaxInFlightOf = defaults.FairMaxInFlight, defaults.FairMaxInFlightOf
	}
	if c.FairBy != "" {
		c.FairAhead = orDefault(c.FairAhead, 1)
	}
	return c
}

// maxCount bounds the settings that count something.
const maxCount = 1 << 30

// Validate reports what is wrong with a queue's settings.
func (c QueueConfig) Validate(field string) error {
	if c.Encoding != "" && c.Encoding != EncodingFields && c.Encoding != EncodingJSON {
		return invalid(field+".encoding", "is %q, want %q or %q", c.Encoding, EncodingFields, EncodingJSON)
	}
	for i, name := range c.JSONNumbers {
		if err := CheckFieldName(fmt.Sprintf("%s.json_numbers[%d]", field, i), name); err != nil {
			return err
		}
	}
	if c.Lease != 0 && (c.Lease < time.Millisecond || c.Lease > 24*time.Hour) {
		return invalid(field+".lease", "is %s, want 1ms to 24h", c.Lease)
	}
	for name, n := range map[string]int{"max_attempts": c.MaxAttempts, "max_crashes": c.MaxCrashes, "max_length": c.MaxLength,
		"fair_max_in_flight": c.FairMaxInFlight, "wait_replicas": c.WaitReplicas} {
		if n < 0 || n > maxCount {
			return invalid(field+"."+name, "is %d, want 1 to %d, or 0 for the default", n, maxCount)
		}
	}
	for name, d := range map[string]time.Duration{"retry_min": c.RetryMin, "retry_max": c.RetryMax, "wait_timeout": c.WaitTimeout} {
		if d != 0 && (d < time.Millisecond || d > MaxDelay) {
			return invalid(field+"."+name, "is %s, want 1ms to %s", d, MaxDelay)
		}
	}
	return errors.Join(c.Groups.validate(field+".groups"), c.validateFairness(field))
}

// Broker is the queue engine of one tenant: leased reads, fenced settling, job state,
// completion events and waiting for all of these. Its methods are safe for concurrent
// use. Any number of Brokers, in any processes, may share a prefix.
type Broker struct {
	client *Client
	keys   keys
	config BrokerConfig
	log    *slog.Logger
	states *StateManager
	// waiters are the reads that wait for tasks, subscriptions the watches.
	waiters       *waitlists
	subscriptions *subscriptions
	due           *alarm // for the next delayed task
	claims        claims
	lines         lines
	known         *knownQueues
	// oldMarks allows looking into old marks of unique jobs.
	oldMarks throttle
	// searches allows searching for a unique job's task again.
	searches throttle
	reads    *readQueue
	// watched are the states that are watched.
	watched *stateReads
	// tracker is set while Redis pushes changes.
	tracker   atomic.Pointer[tracker]
	trackers  atomic.Int64 // how many there were
	rings     atomic.Int64 // how many keys they told of
	sweeps    atomic.Int64
	vain      vainRings
	hasWarned atomic.Bool // of a table of tracked keys that is too small
	// unseenRemoved counts entries that the cleaner removed and no consumer was given.
	unseenRemoved atomic.Int64
	settledTasks  settledTasks
	stale         chan string             // jobs whose states contradict their results
	owns          func(jobID string) bool // nil unless it is one of several shards
	closed        <-chan struct{}
	stop          context.CancelFunc
	tasks         sync.WaitGroup
}

// NewBroker starts a broker. The client stays the caller's: close it after the broker.
func NewBroker(client *Client, config BrokerConfig) (*Broker, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Broker{
		client:        client,
		keys:          client.keys,
		config:        config,
		log:           config.Logger,
		states:        NewStateManager(client, StateManagerConfig{DefaultTTL: config.StateTTL}),
		waiters:       notify.NewWaitlists[ReadRequest, newLease](cursorLess),
		subscriptions: notify.NewSubscriptions[*follower, update](cursorLess),
		due:           newAlarm(),
		known:         newKnownQueues(),
		oldMarks:      throttle{period: markPeriod},
		reads:         newReadQueue(),
		watched:       newStateReads(),
		stale:         make(chan string, healQueue),
		closed:        ctx.Done(),
		stop:          stop,
	}
	b.tasks.Go(func() { b.serveReads(ctx) })
	b.tasks.Go(func() { b.serveStates(ctx) })
	b.tasks.Go(func() { b.keepTracking(ctx) })
	b.tasks.Go(func() { b.armTasks(ctx) })
	b.tasks.Go(func() { b.sweepCompletions(ctx) })
	b.tasks.Go(func() { b.pollTasks(ctx) })
	b.tasks.Go(func() { b.moveDelayed(ctx) })
	b.tasks.Go(func() { b.keepClean(ctx) })
	b.tasks.Go(func() { b.healStates(ctx) })
	return b, nil
}

func (c BrokerConfig) withDefaults() (BrokerConfig, error) {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&c.StateTTL, DefaultStateTTL)
	set(&c.CompletionTTL, DefaultStateTTL)
	set(&c.RequestWindow, 24*time.Hour)
	set(&c.DeadLetterTTL, 30*24*time.Hour)
	for field, d := range map[string]time.Duration{"state_ttl": c.StateTTL, "completion_ttl": c.CompletionTTL,
		"request_window": c.RequestWindow, "dead_letter_ttl": c.DeadLetterTTL} {
		if d < time.Millisecond || d > maxTTL {
			return c, invalid(field, "is %s, want 1ms to %s", d, maxTTL)
		}
	}
	c.EventBytes = orDefault(c.EventBytes, DefaultEventBytes)
	if c.EventBytes < 0 || c.EventBytes > maxCount {
		return c, invalid("event_bytes", "is %d, want 1 to %d", c.EventBytes, maxCount)
	}
	c.MaxQueues = orDefault(c.MaxQueues, DefaultMaxQueues)
	if c.MaxQueues < 0 || c.MaxQueues > maxCount {
		return c, invalid("max_queues", "is %d, want 1 to %d", c.MaxQueues, maxCount)
	}
	if c.DefaultQueue == "" {
		c.DefaultQueue = DefaultQueue
	}
	if c.DefaultGroup == "" {
		c.DefaultGroup = DefaultGroup
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := CheckQueue("default_queue", c.DefaultQueue); err != nil {
		return c, err
	}
	if err := CheckID("default_group", c.DefaultGroup); err != nil {
		return c, err
	}
	c.Queue = c.Queue.withDefaults(defaultQueueConfig)
	if err := c.Queue.Validate("queue"); err != nil {
		return c, err
	}
	for name, queue := range c.Queues {
		if err := CheckQueue("queues", name); err != nil {
			return c, err
		}
		if err := queue.Validate("queues." + name); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Validate reports what is wrong with the settings.
func (c BrokerConfig) Validate() error {
	_, err := c.withDefaults()
	return err
}

// Close ends the broker's background work and waits for it. Calls that are waiting
// are their contexts' owners' to end.
func (b *Broker) Close() {
	b.stop()
	b.tasks.Wait()
}

// States is the broker's job states.
func (b *Broker) States() *StateManager { return b.states }

// Ping asks Redis for a sign of life.
func (b *Broker) Ping(ctx context.Context) error { return b.client.Ping(ctx) }

// queueConfig is how a queue is treated.
func (b *Broker) queueConfig(queue string) QueueConfig {
	return b.config.Queues[queue].withDefaults(b.config.Queue)
}

// queueName is the queue that a request means.
func (b *Broker) queueName(queue string) (string, error) {
	if queue == "" {
		return b.config.DefaultQueue, nil
	}
	return queue, CheckQueue("queue", queue)
}

// pause waits; false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
