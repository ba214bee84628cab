package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// In the JSON form, attributes that existing workers parse as numbers are numbers, and a number, boolean,
// array or object of a raw peer keeps its type on every way that a task can take.
func TestJSONValuesKeepTheirTypes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		plain := job.QueueSettings{Encoding: job.EncodingJSON, JSONNumbers: []string{"priority"}}
		fair := plain
		fair.FairBy = job.FairByOrganization
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"json": plain, "fair": fair}})
		publish := func(name string, delay time.Duration) {
			t.Helper()
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name}, Delay: delay,
				Task: job.Task{JobID: "job", CreatedAt: time.Unix(1700000000, 0), TimeoutSeconds: 60,
					Attributes: map[string]string{"retry_count": "3", "ttl_seconds": "-1", "priority": "0.5", "version": "7", "build": "007", "ref": "1 "}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		data := func(name string) string {
			t.Helper()
			entries := b.stream(t, name)
			if len(entries) != 1 {
				t.Fatalf("%d entries in %s", len(entries), name)
			}
			return fmt.Sprint(entries[0].Values["data"])
		}
		read := func(name string) queue.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: name, Consumer: "w", Wait: time.Minute})
			if err != nil || len(d) != 1 {
				t.Fatalf("Read: %+v, %v; want len(d) == 1", d, err)
			}
			return d[0]
		}
		const ours = `{"build":"007","created_at":"2023-11-14T22:13:20Z","gcs_uri":"","job_id":"job","organization_id":"","priority":0.5,"ref":"1 ",` +
			`"report_id":"","retry_count":3,"scanners":[],"timeout_seconds":60,"ttl_seconds":-1,"version":"7"}`
		const theirs = `{"job_id":"job", "retry_count":0, "ttl_seconds":3600, "urgent":true, "limits":{"cpu":1.50}, "tags":["a",1,null], "big":12345678901234567890}`
		for _, c := range []struct{ name, want string }{{"json", ours}, {"fair", ours}, {"json", theirs}, {"fair", theirs}} {
			if c.want == ours {
				publish(c.name, 0)
			} else {
				b.raw.XAdd(b.ctx, entry(b.key(c.name), "data", theirs))
			}
			check := func(when string) {
				t.Helper()
				if got := data(c.name); got != c.want {
					t.Errorf("%s, %s:\n%s, want\n%s", c.name, when, got, c.want)
				}
			}
			d := read(c.name)
			check("published")
			nack := func(r queue.NackRequest) {
				t.Helper()
				r.Token = d.Lease.Token()
				if err := b.nack(r); err != nil {
					t.Fatal(err)
				}
			}
			nack(queue.NackRequest{Delay: new(time.Duration)})
			d = read(c.name)
			check("requeued")
			nack(queue.NackRequest{Delay: new(time.Millisecond)})
			d = read(c.name)
			check("postponed")
			nack(queue.NackRequest{DeadLetter: true})
			if letters := b.stream(t, "argus_dead:"+c.name); len(letters) != 1 || letters[0].Values["data"] != c.want {
				t.Errorf("dead letter %v", letters)
			}
			if _, err := b.broker.Redrive(b.ctx, c.name, true, nil); err != nil {
				t.Fatal(err)
			}
			d = read(c.name)
			check("redriven")
			if _, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil {
				t.Fatal(err)
			}
		}
		publish("json", time.Millisecond)
		read("json")
		if got := data("json"); got != ours {
			t.Errorf("published with a delay:\n%s", got)
		}
	})
}

// Scripts and watches agree on what a raw peer's JSON event means.
func TestScriptsAndWatchesAgreeOnJSONEvents(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for name, c := range map[string]struct {
			data     string
			terminal bool
		}{
			"latin-1":        {"{\"status\":\"completed\",\"x\":\"caf\xe9\"}", true},
			"lone surrogate": {`{"status":"completed","x":"caf\udce9"}`, true},
			"python's nan":   {`{"status":"completed","x":NaN}`, false},
			"control":        {"{\"status\":\"completed\",\"x\":\"a\tb\"}", false},
			"deep":           {`{"status":"failed","x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, true},
			"running":        {`{"status":"running"}`, false},
			"list":           {`["completed"]`, false},
			"odd status":     {`{"status":{"completed":true}}`, false},
		} {
			id := b.add(t, "argus_completion:"+name, "data", c.data)
			w, _ := b.watch(t, name, "")
			if event := b.next(t, w); event.Cursor != id || w.Done() != c.terminal {
				t.Errorf("%s: watched %+v, want terminal %v", name, event, c.terminal)
			}
			r, err := b.broker.Report(b.ctx, name, job.Result{Status: job.StatusFailed})
			if err != nil || r.Already != c.terminal || (r.Cursor == id) != c.terminal {
				t.Errorf("%s: recorded %+v, %v, want already %v", name, r, err, c.terminal)
			}
		}
	})
}
