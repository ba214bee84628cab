package redis

import (
	"context"
	"log/slog"
	"sync"
	"time"
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
	// RequestWindow is how long a request id is remembered; default 24 hours.
	RequestWindow time.Duration
	// DeadLetterTTL is how long a dead letter is kept; default 30 days.
	DeadLetterTTL time.Duration
	// Logger gets what can't be returned to a caller; default slog.Default.
	Logger *slog.Logger
}

// QueueConfig is how one queue is treated. The zero value of a field means its default.
type QueueConfig struct {
	// Encoding is how tasks and completions are written; default EncodingFields.
	Encoding Encoding
	// Lease is how long a worker has until it must settle or extend; default 60 s.
	Lease time.Duration
}

// maxTTL is how long anything may be kept: ten years.
const maxTTL = 10 * 365 * 24 * time.Hour

// DefaultLease is how long a delivery is leased.
const DefaultLease = 60 * time.Second

func (c QueueConfig) withDefaults(defaults QueueConfig) QueueConfig {
	if c.Encoding == "" {
		c.Encoding = defaults.Encoding
	}
	if c.Lease == 0 {
		c.Lease = defaults.Lease
	}
	return c
}

// Validate reports what is wrong with a queue's settings.
func (c QueueConfig) Validate(field string) error {
	if c.Encoding != "" && c.Encoding != EncodingFields && c.Encoding != EncodingJSON {
		return invalid(field+".encoding", "is %q, want %q or %q", c.Encoding, EncodingFields, EncodingJSON)
	}
	if c.Lease != 0 && (c.Lease < time.Millisecond || c.Lease > 24*time.Hour) {
		return invalid(field+".lease", "is %s, want 1ms to 24h", c.Lease)
	}
	return nil
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
	bell   *doorbell
	due    *alarm // for the next delayed task
	claims claims
	stop   context.CancelFunc
	tasks  sync.WaitGroup
}

// NewBroker starts a broker. The client stays the caller's: close it after the broker.
func NewBroker(client *Client, config BrokerConfig) (*Broker, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Broker{
		client: client,
		keys:   client.keys,
		config: config,
		log:    config.Logger,
		states: NewStateManager(client, StateManagerConfig{DefaultTTL: config.StateTTL}),
		bell:   newDoorbell(),
		due:    newAlarm(),
		stop:   stop,
	}
	b.log.Debug("what others write is found by sweeping what is waited for")
	b.tasks.Go(func() { b.sweepCompletions(ctx) })
	b.tasks.Go(func() { b.pollTasks(ctx) })
	b.tasks.Go(func() { b.moveDelayed(ctx) })
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
	c.Queue = c.Queue.withDefaults(QueueConfig{Encoding: EncodingFields, Lease: DefaultLease})
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
