package job

import (
	"cmp"
	"log/slog"
	"strconv"
	"time"
)

// Defaults of Settings.
const (
	// DefaultStateTTL is how long a job's state and its events are kept.
	DefaultStateTTL = 7 * 24 * time.Hour
	// DefaultEventBytes is the maximum size of a job's events before the terminal one, names and values.
	DefaultEventBytes = 8 << 20
	// DefaultMaxQueues is the maximum number of queues.
	DefaultMaxQueues = 10_000
)

// MinUnfinishedTTL is how long the service keeps at least what it records about an unfinished job: the record
// of its parts, and its mark in a queue of unique jobs. Both normally end with the job; the TTL bounds what
// raw workers, which do not maintain them, leave behind.
const MinUnfinishedTTL = 90 * 24 * time.Hour

const (
	// maxTTL is the maximum TTL: ten years.
	maxTTL = 10 * 365 * 24 * time.Hour
	// maxCount bounds the settings that count something.
	maxCount = 1 << 30
)

// Settings configures a broker. The zero value of a field means its default.
type Settings struct {
	// DefaultQueue and DefaultGroup apply where a request names none.
	DefaultQueue string
	DefaultGroup string
	// Queue configures the queues that Queues does not name.
	Queue QueueSettings
	// Queues configures single queues. What an entry leaves unset comes from Queue.
	Queues map[string]QueueSettings
	// StateTTL is how long a job's state is kept; default 7 days.
	StateTTL time.Duration
	// CompletionTTL is how long a job's events are kept; default 7 days.
	CompletionTTL time.Duration
	// EventBytes is the maximum size of a job's events before its terminal one, all together; default 8 MiB.
	EventBytes int
	// RequestWindow is how long a request id is remembered after the last call with it; default 24 hours.
	RequestWindow time.Duration
	// MaxQueues is the maximum number of queues; default 10,000. DefaultQueue and the queues of Queues are
	// accepted beyond it.
	MaxQueues int
	// DeadLetterTTL is how long a dead letter is kept; default 30 days.
	DeadLetterTTL time.Duration
	// Logger receives what no caller waits for; default slog.Default.
	Logger *slog.Logger
}

// WithDefaults returns the settings with the defaults filled in, except in Queues, and reports what is wrong
// with them.
func (c Settings) WithDefaults() (Settings, error) {
	c.DefaultQueue = cmp.Or(c.DefaultQueue, DefaultQueue)
	c.DefaultGroup = cmp.Or(c.DefaultGroup, DefaultGroup)
	c.StateTTL = cmp.Or(c.StateTTL, DefaultStateTTL)
	c.CompletionTTL = cmp.Or(c.CompletionTTL, DefaultStateTTL)
	c.RequestWindow = cmp.Or(c.RequestWindow, 24*time.Hour)
	c.DeadLetterTTL = cmp.Or(c.DeadLetterTTL, 30*24*time.Hour)
	c.EventBytes = cmp.Or(c.EventBytes, DefaultEventBytes)
	c.MaxQueues = cmp.Or(c.MaxQueues, DefaultMaxQueues)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Queue = c.Queue.WithDefaults(defaultQueueSettings)
	return c, c.validate()
}

// Validate reports what is wrong with the settings, as an *ArgumentError.
func (c Settings) Validate() error {
	_, err := c.WithDefaults()
	return err
}

// validate checks settings that have their defaults.
func (c Settings) validate() error {
	for field, d := range map[string]time.Duration{"state_ttl": c.StateTTL, "completion_ttl": c.CompletionTTL,
		"request_window": c.RequestWindow, "dead_letter_ttl": c.DeadLetterTTL} {
		if d < time.Millisecond || d > maxTTL {
			return Invalid(field, "is %s, want 1ms to %s", d, maxTTL)
		}
	}
	for field, n := range map[string]int{"event_bytes": c.EventBytes, "max_queues": c.MaxQueues} {
		if n < 0 || n > maxCount {
			return Invalid(field, "is %d, want 1 to %d", n, maxCount)
		}
	}
	if err := CheckQueue("default_queue", c.DefaultQueue); err != nil {
		return err
	}
	if err := CheckID("default_group", c.DefaultGroup); err != nil {
		return err
	}
	if err := c.Queue.Validate("queue"); err != nil {
		return err
	}
	for name, queue := range c.Queues {
		if err := CheckQueue("queues", name); err != nil {
			return err
		}
		if err := queue.Validate("queues." + name); err != nil {
			return err
		}
	}
	return nil
}

// IsNamed reports whether the settings name the queue.
func (c Settings) IsNamed(queue string) bool {
	_, isNamed := c.Queues[queue]
	return isNamed || queue == c.DefaultQueue
}

// QueueLimit returns the maximum number of queues as the scripts that register a queue take it: "", no limit,
// for a queue that the settings name.
func (c Settings) QueueLimit(queue string) string {
	if c.IsNamed(queue) {
		return ""
	}
	return strconv.Itoa(c.MaxQueues)
}

// WaitsForReplicas reports whether writes to some queue wait for replicas.
func (c Settings) WaitsForReplicas() bool {
	for _, q := range c.Queues {
		if q.WaitReplicas > 0 {
			return true
		}
	}
	return c.Queue.WaitReplicas > 0
}

// UnfinishedTTL returns how long the service keeps what it records about an unfinished job: StateTTL, and at
// least MinUnfinishedTTL.
func (c Settings) UnfinishedTTL() time.Duration { return max(c.StateTTL, MinUnfinishedTTL) }
