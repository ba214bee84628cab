package job

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

// Settings says how a Broker treats its queues. The zero value of a field means
// its default.
type Settings struct {
	// DefaultQueue and DefaultGroup are used where a request names none.
	DefaultQueue string
	DefaultGroup string
	// Queue is how queues are treated that Queues does not name.
	Queue QueueSettings
	// Queues are the queues that are treated in their own way.
	Queues map[string]QueueSettings
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

// QueueSettings is how one queue is treated. The zero value of a field means its default.
type QueueSettings struct {
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

var defaultQueueSettings = QueueSettings{Encoding: EncodingFields, Lease: DefaultLease,
	MaxAttempts: 10, MaxCrashes: 10, RetryMin: time.Second, RetryMax: 10 * time.Minute, WaitTimeout: time.Second}

func (c QueueSettings) WithDefaults(defaults QueueSettings) QueueSettings {
	if c.Encoding == "" {
		c.Encoding = defaults.Encoding
	}
	if c.JSONNumbers == nil {
		c.JSONNumbers = defaults.JSONNumbers
	}
	if c.Groups == nil {
		c.Groups = defaults.Groups
	}
	c.Lease = cmp.Or(c.Lease, defaults.Lease)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, defaults.MaxAttempts)
	c.MaxCrashes = cmp.Or(c.MaxCrashes, defaults.MaxCrashes)
	c.RetryMin = cmp.Or(c.RetryMin, defaults.RetryMin)
	c.RetryMax = cmp.Or(c.RetryMax, defaults.RetryMax)
	c.MaxLength = cmp.Or(c.MaxLength, defaults.MaxLength)
	c.WaitReplicas = cmp.Or(c.WaitReplicas, defaults.WaitReplicas)
	c.WaitTimeout = cmp.Or(c.WaitTimeout, defaults.WaitTimeout)
	c.UniqueJobs = c.UniqueJobs || defaults.UniqueJobs
	if c.FairBy == "" && defaults.FairBy != "" {
		c.FairBy, c.FairWeights, c.FairAhead = defaults.FairBy, defaults.FairWeights, defaults.FairAhead
		c.FairMaxInFlight, c.FairMaxInFlightOf = defaults.FairMaxInFlight, defaults.FairMaxInFlightOf
	}
	if c.FairBy != "" {
		c.FairAhead = cmp.Or(c.FairAhead, 1)
	}
	return c
}

// maxCount bounds the settings that count something.
const maxCount = 1 << 30

// Validate reports what is wrong with a queue's settings.
func (c QueueSettings) Validate(field string) error {
	if c.Encoding != "" && c.Encoding != EncodingFields && c.Encoding != EncodingJSON {
		return Invalid(field+".encoding", "is %q, want %q or %q", c.Encoding, EncodingFields, EncodingJSON)
	}
	for i, name := range c.JSONNumbers {
		if err := CheckFieldName(fmt.Sprintf("%s.json_numbers[%d]", field, i), name); err != nil {
			return err
		}
	}
	if c.Lease != 0 && (c.Lease < time.Millisecond || c.Lease > 24*time.Hour) {
		return Invalid(field+".lease", "is %s, want 1ms to 24h", c.Lease)
	}
	for name, n := range map[string]int{"max_attempts": c.MaxAttempts, "max_crashes": c.MaxCrashes, "max_length": c.MaxLength,
		"fair_max_in_flight": c.FairMaxInFlight, "wait_replicas": c.WaitReplicas} {
		if n < 0 || n > maxCount {
			return Invalid(field+"."+name, "is %d, want 1 to %d, or 0 for the default", n, maxCount)
		}
	}
	for name, d := range map[string]time.Duration{"retry_min": c.RetryMin, "retry_max": c.RetryMax, "wait_timeout": c.WaitTimeout} {
		if d != 0 && (d < time.Millisecond || d > MaxDelay) {
			return Invalid(field+"."+name, "is %s, want 1ms to %s", d, MaxDelay)
		}
	}
	return errors.Join(c.Groups.validate(field+".groups"), c.validateFairness(field))
}

func (c Settings) WithDefaults() (Settings, error) {
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
			return c, Invalid(field, "is %s, want 1ms to %s", d, maxTTL)
		}
	}
	c.EventBytes = cmp.Or(c.EventBytes, DefaultEventBytes)
	if c.EventBytes < 0 || c.EventBytes > maxCount {
		return c, Invalid("event_bytes", "is %d, want 1 to %d", c.EventBytes, maxCount)
	}
	c.MaxQueues = cmp.Or(c.MaxQueues, DefaultMaxQueues)
	if c.MaxQueues < 0 || c.MaxQueues > maxCount {
		return c, Invalid("max_queues", "is %d, want 1 to %d", c.MaxQueues, maxCount)
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
	c.Queue = c.Queue.WithDefaults(defaultQueueSettings)
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
func (c Settings) Validate() error {
	_, err := c.WithDefaults()
	return err
}

// DefaultEventBytes is how large the events of a job may be before its terminal one, all
// together: names and values.
const DefaultEventBytes = 8 << 20

// DefaultMaxQueues is how many queues there may be.
const DefaultMaxQueues = 10_000

// QueueLimit is how many queues there may be for this one to be a new one, as the scripts take
// it: any number for those that the settings name.
func (c Settings) QueueLimit(queue string) string {
	if c.IsNamed(queue) {
		return ""
	}
	return strconv.Itoa(c.MaxQueues)
}

// IsNamed is true of a queue that the settings name.
func (c Settings) IsNamed(queue string) bool {
	_, isNamed := c.Queues[queue]
	return isNamed || queue == c.DefaultQueue
}

// WaitsForReplicas is true when some queue wants replicas to have what is written.
func (c Settings) WaitsForReplicas() bool {
	for _, q := range c.Queues {
		if q.WaitReplicas > 0 {
			return true
		}
	}
	return c.Queue.WaitReplicas > 0
}

// DefaultStateTTL is how long a job's state is kept.
const DefaultStateTTL = 7 * 24 * time.Hour

// In a queue of unique jobs a job has a mark as long as a task of it is unsettled. The scripts
// that publish and settle keep it (lua/prelude.lua). Raw workers don't, so a mark that stands in
// the way of a publish is looked into where there is a reason to: when the job has got a result
// since, or, now and then, when the mark is old.
const (
	// MinUnfinishedTTL is how long what is known of a job that is not over is kept at least: its
	// mark, and the record of its parts. Usually these go with the job; this bounds what raw
	// workers leave behind.
	MinUnfinishedTTL = 90 * 24 * time.Hour
)

func (c Settings) UnfinishedTTL() time.Duration { return max(c.StateTTL, MinUnfinishedTTL) }
