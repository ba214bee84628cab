package broker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Bad settings of a fair queue are refused and named.
func TestFairSettingsAreValidated(t *testing.T) {
	t.Parallel()
	for field, q := range map[string]job.QueueSettings{
		"fair_by":               {FairBy: "report_id"},
		"fair_weights":          {FairBy: "organization_id", FairWeights: map[string]float64{"a": 0}},
		"fair_max_in_flight":    {FairBy: "organization_id", FairMaxInFlight: -1},
		"fair_max_in_flight_of": {FairBy: "organization_id", FairMaxInFlightOf: map[string]int{"a": -1}},
		"fair_ahead":            {FairBy: "organization_id", FairAhead: 2000},
	} {
		err := job.Settings{Queues: map[string]job.QueueSettings{"q": q}}.Validate()
		if err == nil || !strings.Contains(err.Error(), "queues.q."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := (job.QueueSettings{FairAhead: 3}).Validate("q"); err == nil || !strings.Contains(err.Error(), "fair_by") {
		t.Error(err)
	}
}

// Bad limits of a queue are refused and named.
func TestRetrySettingsAreValidated(t *testing.T) {
	t.Parallel()
	for field, config := range map[string]job.QueueSettings{
		"max_attempts": {MaxAttempts: -1}, "max_crashes": {MaxCrashes: 1 << 31}, "max_length": {MaxLength: -5},
		"retry_min": {RetryMin: time.Microsecond}, "retry_max": {RetryMax: job.MaxDelay + 1},
	} {
		if err := (job.Settings{Queue: config}).Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Negative replica settings are refused.
func TestReplicaSettingsAreValidated(t *testing.T) {
	t.Parallel()
	for _, c := range []job.QueueSettings{{WaitReplicas: -1}, {WaitTimeout: -1}} {
		if err := (job.Settings{Queue: c}).Validate(); !errors.Is(err, job.ErrInvalid) {
			t.Error(err)
		}
	}
}

// Ids that look like others are refused.
func TestInvisibleCharactersInNamesAreRefused(t *testing.T) {
	t.Parallel()
	for name, isAllowed := range map[string]bool{
		"a\u202eb": false, "a\u2066b": false, "\u200fa": false, "a\u200b": false, "a\u200db": false, "\ufeffa": false, "a\u2028b": false,
		"a\u2029b": false, "a\u00adb": false, "\u3164": false, "a\U000e0041": false, " ": false, "   ": false, "\u00a0\u2003": false,
		"a b": true, " a": true, "é": true, "日本": true, "שלום": true, "مرحبا": true, "🙂": true, "a\u0301": true,
	} {
		if err := job.CheckID("id", name); (err == nil) != isAllowed {
			t.Errorf("CheckID of %+q: %v", name, err)
		}
		if err := job.CheckFieldName("field", name); (err == nil) != isAllowed {
			t.Errorf("CheckFieldName of %+q: %v", name, err)
		}
	}
}

// No name of a queue reaches the keys of a tenant whose prefix begins with this one.
func TestQueueNamesWithinOtherKeysAreRefused(t *testing.T) {
	t.Parallel()
	for queue, isAllowed := range map[string]bool{
		"job_state:x": false, "eu:job_state:x": false, "eu:argus_task_queue": false, "argus_completion:x": false, "eu:argus_completion:x": false,
		"a:b:argus_queues:known": false, "x:job_state": false, "x:argus_": false,
		job.DefaultQueue: true, "argus_nightly": true, "job_state": true, "eu:nightly": true, "my_argus_x:y": true, "x:job_states": true,
	} {
		if err := job.CheckQueue("queue", queue); (err == nil) != isAllowed {
			t.Errorf("%s: %v", queue, err)
		}
	}
}
