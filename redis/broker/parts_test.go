package broker_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// withParts publishes a task for each part of a job.
func (b *bundle) withParts(t *testing.T, id string, parts ...string) {
	t.Helper()
	if _, err := b.broker.InitState(b.ctx, state.InitRequest{JobID: id, InitialState: job.InitialState{Parts: parts}}); err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		b.publish(t, job.Task{JobID: id, Part: part})
	}
}

// Each part reports an event; the last one ends the job with the combined status.
func TestJobResultCombinesItsParts(t *testing.T) {
	t.Parallel()
	const done, failed, partial, cancelled = job.StatusCompleted, job.StatusFailed, job.StatusPartial, job.StatusCancelled
	for name, c := range map[string]struct {
		parts []job.Status
		want  job.Status
	}{
		"all": {[]job.Status{done, done, done}, done}, "some": {[]job.Status{done, failed, done}, partial},
		"none": {[]job.Status{failed, failed, failed}, failed}, "partly": {[]job.Status{done, partial, done}, partial},
		"cancelled": {[]job.Status{cancelled, cancelled, cancelled}, cancelled}, "neither": {[]job.Status{cancelled, failed, failed}, failed},
	} {
		t.Run(name, func(t *testing.T) {
			for _, encoding := range []job.Encoding{job.EncodingFields, job.EncodingJSON} {
				redistest.Each(t, func(t *testing.T, e redistest.Engine) {
					b := setup(t, e, job.Settings{Queue: job.QueueSettings{Encoding: encoding}})
					parts := []string{"trivy", "clamav", "grype"}
					b.withParts(t, "job", parts...)
					w, snapshot, err := b.broker.Watch(b.ctx, "job", "")
					if err != nil || !snapshot.Known {
						t.Fatalf("Watch: %+v, %v; want snapshot.Known", snapshot, err)
					}
					defer w.Close()
					for i, status := range c.parts {
						d := b.readOne(t, "w")
						if d.Task.Part != parts[i] {
							t.Fatal("part", d.Task.Part)
						}
						result := job.Result{Status: status, Part: d.Task.Part, Fields: map[string]string{d.Task.Part + "_findings": "1"}}
						if status == failed {
							result.Error = "boom"
						}
						r, err := b.broker.Complete(b.ctx, d.Lease.Token(), result)
						if err != nil || r.Already {
							t.Fatalf("Complete: %+v, %v; want !r.Already", r, err)
						}
						again, err := b.broker.Complete(b.ctx, d.Lease.Token(), result)
						if err != nil || !again.Already || again.Cursor != r.Cursor {
							t.Error("repeated:", again, err)
						}
						event, err := w.Next(b.ctx, longWait)
						if err != nil || event == nil || event.Part != parts[i] || event.Status.Terminal() != (i == 2) || event.Fields[parts[i]+"_status"] != string(status) {
							t.Fatalf("event %d: %+v, %v", i, event, err)
						}
						if i == 2 && (event.Status != c.want || event.Fields["trivy_status"] != string(c.parts[0])) {
							t.Errorf("the last event: %+v", event)
						}
					}
					found, err := b.broker.State(b.ctx, "job", nil)
					if err != nil || found.Status != c.want || found.Fields["clamav_status"] != string(c.parts[1]) || found.Fields["grype_findings"] != "1" {
						t.Errorf(`State: %+v, %v; want found.Status == c.want and found.Fields["clamav_status"] == string(c.parts[1]) and found.Fields["grype_findings"] == "1"`, found, err)
					}
					if _, there := found.Fields["argus_parts"]; there {
						t.Error("the service's own fields are shown:", found.Fields)
					}
				})
			}
		})
	}
}

// All parts report at once, some of them twice: one event of each, and one of these is terminal.
func TestConcurrentPartsReportOnceEach(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		const n = 24
		b := setup(t, e, job.Settings{})
		var parts []string
		want := map[string]string{"status": "partial"}
		for i := range n {
			parts = append(parts, fmt.Sprint("p", i))
		}
		b.withParts(t, "job", parts...)
		var workers sync.WaitGroup
		for i, d := range b.read(t, "w", n) {
			status := []job.Status{job.StatusCompleted, job.StatusFailed}[i%2]
			want[d.Task.Part+"_status"] = string(status)
			for range 1 + rand.IntN(2) {
				workers.Go(func() {
					if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: status, Part: d.Task.Part}); err != nil {
						t.Error(err)
					}
				})
			}
		}
		workers.Wait()
		events := b.stream(t, "argus_completion:job")
		seen := make(map[any]bool)
		for i, event := range events {
			seen[event.Values["part"]] = true
			if terminal := event.Values["status"] == "partial"; terminal != (i == n-1) {
				t.Errorf("event %d: %v", i, event.Values)
			}
		}
		if len(events) != n || len(seen) != n {
			t.Errorf("%d events of %d parts", len(events), len(seen))
		}
		found, err := b.broker.State(b.ctx, "job", nil)
		if err != nil {
			t.Fatal(err)
		}
		delete(found.Fields, "completed_at")
		if diff := cmp.Diff(want, found.Fields); diff != "" {
			t.Error(diff)
		}
	})
}
