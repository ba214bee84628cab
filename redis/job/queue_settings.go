package job

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// DefaultLease is how long a delivery is leased.
const DefaultLease = 60 * time.Second

var defaultQueueSettings = QueueSettings{Encoding: EncodingFields, Lease: DefaultLease,
	MaxAttempts: 10, MaxCrashes: 10, RetryMin: time.Second, RetryMax: 10 * time.Minute, WaitTimeout: time.Second}

// QueueSettings configures one queue. The zero value of a field means its default.
type QueueSettings struct {
	// Encoding is the form in which tasks and completions are written; default EncodingFields.
	Encoding Encoding `yaml:"encoding,omitempty"`
	// JSONNumbers names attributes that EncodingJSON writes as numbers where their value is one, besides
	// retry_count and ttl_seconds.
	JSONNumbers []string `yaml:"json_numbers,omitempty"`
	// Groups are the consumer groups that tasks are kept for from the first publish on and that may read,
	// besides the default group and existing ones; or AnyGroup alone, which lets a reader create the group
	// that it names.
	Groups Groups `yaml:"groups,omitempty"`
	// Lease is the time in which a worker must settle a task or extend its lease; default 60 s.
	Lease time.Duration `yaml:"lease,omitempty"`
	// MaxAttempts is how often workers may return a task with Nack before it becomes a dead letter; default 10.
	MaxAttempts int `yaml:"max_attempts,omitempty"`
	// MaxCrashes is how often a task's lease may expire, because its worker vanished, before it becomes a
	// dead letter; default 10. Crashes do not count as attempts, so restarts of workers use up none.
	MaxCrashes int `yaml:"max_crashes,omitempty"`
	// RetryMin is the longest delay after the first Nack of a task, three quarters of it on average; default
	// 1 s. It doubles with each further Nack up to RetryMax, default 10 min.
	RetryMin time.Duration `yaml:"retry_min,omitempty"`
	RetryMax time.Duration `yaml:"retry_max,omitempty"`
	// MaxLength is the maximum number of tasks in the queue: waiting, delayed and leased; 0 means no limit.
	MaxLength int `yaml:"max_length,omitempty"`
	// WaitReplicas is the number of replicas that must confirm a publish or a result before it is
	// acknowledged; 0 means none. When fewer confirm within WaitTimeout, default 1 s and at most half of
	// Config.ReadTimeout, the call fails with ErrUnavailable and can be repeated, or with ErrOutcomeUnknown
	// where repeating could run it twice.
	WaitReplicas int           `yaml:"wait_replicas,omitempty"`
	WaitTimeout  time.Duration `yaml:"wait_timeout,omitempty"`
	// UniqueJobs rejects a task whose job has an unfinished task already.
	UniqueJobs bool `yaml:"unique_jobs,omitempty"`
	// FairBy makes the queue fair: with FairByOrganization, organizations take turns however much one of them
	// publishes. Tasks that raw peers append to the stream are delivered before all others.
	FairBy string `yaml:"fair_by,omitempty"`
	// FairWeights sets the weight of organizations; default 1. One of weight 3 gets three turns for each turn
	// of another.
	FairWeights map[string]float64 `yaml:"fair_weights,omitempty"`
	// FairMaxInFlight is the maximum number of tasks of one organization that are delivered and not settled;
	// 0 means no limit. FairMaxInFlightOf sets it for single organizations.
	FairMaxInFlight   int            `yaml:"fair_max_in_flight,omitempty"`
	FairMaxInFlightOf map[string]int `yaml:"fair_max_in_flight_of,omitempty"`
	// FairAhead is the number of tasks that lie in the stream before a worker asks for them; default 1. Raw
	// workers see no others, so they need more, at the cost of fairness.
	FairAhead int `yaml:"fair_ahead,omitempty"`
}

// WithDefaults returns the settings with their unset fields taken from defaults. The fair settings are taken
// together.
func (c QueueSettings) WithDefaults(defaults QueueSettings) QueueSettings {
	if c.JSONNumbers == nil {
		c.JSONNumbers = defaults.JSONNumbers
	}
	if c.Groups == nil {
		c.Groups = defaults.Groups
	}
	c.Encoding = cmp.Or(c.Encoding, defaults.Encoding)
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

// Validate reports what is wrong with a queue's settings, as an *ArgumentError below field.
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
	for name, n := range map[string]int{"max_attempts": c.MaxAttempts, "max_crashes": c.MaxCrashes,
		"max_length": c.MaxLength, "fair_max_in_flight": c.FairMaxInFlight, "wait_replicas": c.WaitReplicas} {
		if n < 0 || n > maxCount {
			return Invalid(field+"."+name, "is %d, want 1 to %d, or 0 for the default", n, maxCount)
		}
	}
	for name, d := range map[string]time.Duration{
		"retry_min": c.RetryMin, "retry_max": c.RetryMax, "wait_timeout": c.WaitTimeout} {
		if d != 0 && (d < time.Millisecond || d > MaxDelay) {
			return Invalid(field+"."+name, "is %s, want 1ms to %s", d, MaxDelay)
		}
	}
	return errors.Join(c.Groups.validate(field+".groups"), c.validateFairness(field))
}
