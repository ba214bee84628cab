package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A bad argument is refused and named, and nothing is written.
func TestBadArgumentsAreNamedAndWriteNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		d := b.readOne(t, "w")
		token := d.Lease.Token()
		foreign := d.Lease
		foreign.Prefix = "other:"
		many := make(map[string]string)
		for i := range job.MaxFields + 1 {
			many[fmt.Sprint(i)] = ""
		}
		big := strings.Repeat("x", job.MaxValueBytes+1)
		publish := func(r queue.PublishRequest) func() error {
			return func() error { _, _, err := b.broker.Publish(b.ctx, r); return err }
		}
		complete := func(token string, r job.Result) func() error {
			return func() error { _, err := b.broker.Complete(b.ctx, token, r); return err }
		}
		completed := job.StatusCompleted
		before := b.dump(t)
		for name, c := range map[string]struct {
			field string // "" for a bad token
			call  func() error
		}{
			"glob id":        {"task.job_id", publish(queue.PublishRequest{Task: job.Task{JobID: "a*"}})},
			"braces":         {"task.job_id", publish(queue.PublishRequest{Task: job.Task{JobID: "{a}"}})},
			"control":        {"task.job_id", publish(queue.PublishRequest{Task: job.Task{JobID: "a\nb"}})},
			"long id":        {"task.job_id", publish(queue.PublishRequest{Task: job.Task{JobID: strings.Repeat("a", 257)}})},
			"reserved queue": {"queue", publish(queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "job_state:x"}})},
			"request id":     {"request_id", publish(queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "a]"}})},
			"timeout":        {"task.timeout_seconds", publish(queue.PublishRequest{Task: job.Task{TimeoutSeconds: -1}})},
			"attributes":     {"task.attributes", publish(queue.PublishRequest{Task: job.Task{Attributes: many}})},
			"value":          {`task.attributes["k"]`, publish(queue.PublishRequest{Task: job.Task{Attributes: map[string]string{"k": big}}})},
			"text":           {"task.gcs_uri", publish(queue.PublishRequest{Task: job.Task{GCSURI: big}})},
			"reserved name":  {`task.attributes["argus_attempt"]`, publish(queue.PublishRequest{Task: job.Task{Attributes: map[string]string{"argus_attempt": "9"}}})},
			"known name":     {`task.attributes["job_id"]`, publish(queue.PublishRequest{Task: job.Task{Attributes: map[string]string{"job_id": "9"}}})},
			"delay":          {"delay", publish(queue.PublishRequest{Delay: -1})},
			"long delay":     {"delay", publish(queue.PublishRequest{Delay: job.MaxDelay + 1})},
			"both":           {"run_at", publish(queue.PublishRequest{Delay: 1, RunAt: created})},
			"far":            {"run_at", publish(queue.PublishRequest{RunAt: time.Now().Add(2 * job.MaxDelay)})},
			"state":          {`initial_state.fields[""]`, publish(queue.PublishRequest{State: &job.InitialState{Fields: map[string]string{"": "x"}}})},
			"ttl":            {"initial_state.ttl", publish(queue.PublishRequest{State: &job.InitialState{TTL: -1}})},
			"batch": {"tasks[1].job_id", func() error {
				_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: []job.Task{{}, {JobID: "?"}}})
				return err
			}},
			"empty batch":   {"tasks", func() error { _, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{}); return err }},
			"consumer":      {"consumer", func() error { _, err := b.broker.Read(b.ctx, queue.ReadRequest{}); return err }},
			"max":           {"max_tasks", func() error { _, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: -1}); return err }},
			"no tokens":     {"lease_tokens", func() error { _, err := b.broker.Ack(b.ctx, nil); return err }},
			"no status":     {"status", complete(token, job.Result{})},
			"running":       {"status", complete(token, job.Result{Status: job.StatusRunning})},
			"own field":     {`fields["status"]`, complete(token, job.Result{Status: completed, Fields: map[string]string{"status": "x"}})},
			"long error":    {"error_message", complete(token, job.Result{Status: completed, Error: big})},
			"no token":      {"", complete("", job.Result{Status: completed})},
			"garbage token": {"", complete("garbage", job.Result{Status: completed})},
			"changed token": {"", complete("B"+token[1:], job.Result{Status: completed})},
			"cut token":     {"", complete(token[:len(token)-2], job.Result{Status: completed})},
			"foreign token": {"", complete(foreign.Token(), job.Result{Status: completed})},
			"nack delay":    {"delay", func() error { return b.nack(queue.NackRequest{Token: token, Delay: new(time.Duration(-1))}) }},
			"nack both": {"delay", func() error {
				return b.nack(queue.NackRequest{Token: token, Delay: new(time.Duration(1)), DeadLetter: true})
			}},
			"nack reason": {"reason", func() error { return b.nack(queue.NackRequest{Token: token, Reason: big}) }},
			"progress":    {"progress_fields", func() error { _, err := b.broker.Extend(b.ctx, token, many); return err }},
			"no fields":   {"fields", func() error { return b.broker.SetState(b.ctx, "job", nil, "") }},
			"other job":   {"", func() error { return b.broker.SetState(b.ctx, "other", map[string]string{"a": "b"}, token) }},
			"empty job":   {"job_id", func() error { _, err := b.broker.State(b.ctx, "", nil); return err }},
		} {
			err := c.call()
			var argument *job.ArgumentError
			switch {
			case c.field == "":
				if !errors.Is(err, job.ErrLeaseToken) {
					t.Errorf("%s: %v", name, err)
				}
			case !errors.As(err, &argument) || argument.Field != c.field:
				t.Errorf("%s: %v, want a fault of %s", name, err, c.field)
			}
		}
		if diff := cmp.Diff(before, b.dump(t)); diff != "" {
			t.Error("something was written:", diff)
		}
	})
}

// Values that only Go callers can send are refused as well.
func TestValuesOnlyGoCallersCanSendAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t), job.Settings{})
	far := time.Date(58000, 1, 1, 0, 0, 0, 0, time.UTC) // milliseconds taken for seconds
	huge := job.Lease{Prefix: b.engine.Prefix, Queue: "q", Group: "g", EntryID: "99999999999999999999-0", Consumer: "c", Count: 1, JobID: "j"}
	consumer, err := redis.NewStreamConsumer(b.client, redis.StreamConsumerConfig{Stream: "s", ConsumerGroup: "g", ConsumerName: "c"})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(r queue.PublishRequest) error { _, _, err := b.broker.Publish(b.ctx, r); return err }
	_, streamErr := consumer.Publish(b.ctx, map[string]any{"scanners": []string{"a"}})
	_, tokenErr := b.broker.Complete(b.ctx, huge.Token(), job.Result{Status: job.StatusCompleted})
	for name, c := range map[string]struct{ err, want error }{
		"created_at": {publish(queue.PublishRequest{Task: job.Task{CreatedAt: far}, PublishOptions: queue.PublishOptions{RequestID: "r"}}), job.ErrInvalid},
		"run_at":     {publish(queue.PublishRequest{RunAt: far.AddDate(-70000, 0, 0), PublishOptions: queue.PublishOptions{RequestID: "r"}}), job.ErrInvalid},
		"stream":     {streamErr, job.ErrInvalid},
		"token":      {tokenErr, job.ErrLeaseToken},
		"ttl":        {job.Settings{DeadLetterTTL: 876000 * time.Hour}.Validate(), job.ErrInvalid},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
}
