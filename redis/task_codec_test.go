package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"
)

func TestDecodeTaskIsLenient(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		entry map[string]string
		want  Task
	}{
		"epoch":             {map[string]string{"job_id": "j", "created_at": "1767323045"}, Task{JobID: "j", CreatedAt: at}},
		"fraction":          {map[string]string{"job_id": "j", "created_at": "1767323045.5"}, Task{JobID: "j", CreatedAt: at.Add(time.Second / 2)}},
		"rfc 3339":          {map[string]string{"job_id": "j", "created_at": "2026-01-02T04:04:05+01:00"}, Task{JobID: "j", CreatedAt: at}},
		"milliseconds":      {map[string]string{"job_id": "j", "created_at": "1767323045000"}, Task{JobID: "j", Attributes: map[string]string{"created_at": "1767323045000"}}},
		"not a number":      {map[string]string{"job_id": "j", "created_at": "NaN"}, Task{JobID: "j", Attributes: map[string]string{"created_at": "NaN"}}},
		"empty values":      {map[string]string{"job_id": "j", "created_at": "", "scanners": "", "timeout_seconds": ""}, Task{JobID: "j"}},
		"comma list":        {map[string]string{"job_id": "j", "scanners": "a, b,"}, Task{JobID: "j", Scanners: []string{"a", "b"}}},
		"mixed array":       {map[string]string{"job_id": "j", "scanners": `["a",1]`}, Task{JobID: "j", Attributes: map[string]string{"scanners": `["a",1]`}}},
		"null in array":     {map[string]string{"job_id": "j", "scanners": `[null]`}, Task{JobID: "j", Attributes: map[string]string{"scanners": `[null]`}}},
		"large timeout":     {map[string]string{"job_id": "j", "timeout_seconds": "9999999999"}, Task{JobID: "j", Attributes: map[string]string{"timeout_seconds": "9999999999"}}},
		"binary known":      {map[string]string{"job_id": "j", "gcs_uri": "\xff"}, Task{JobID: "j", BinaryAttributes: map[string][]byte{"gcs_uri": {0xff}}}},
		"own metadata":      {map[string]string{"job_id": "j", "argus_attempt": "3"}, Task{JobID: "j"}},
		"data is a field":   {map[string]string{"job_id": "j", "data": "x"}, Task{JobID: "j", Attributes: map[string]string{"data": "x"}}},
		"json":              {map[string]string{"data": `{"job_id":"j","scanners":"a,b","timeout_seconds":"7","created_at":1767323045}`}, Task{JobID: "j", Scanners: []string{"a", "b"}, TimeoutSeconds: 7, CreatedAt: at}},
		"json number id":    {map[string]string{"data": `{"job_id":7}`}, Task{JobID: "7"}},
		"json further":      {map[string]string{"data": `{"job_id":"j","n":{"a":[1]},"s":"t","b":true,"null":null,"scanners":null}`}, Task{JobID: "j", Attributes: map[string]string{"n": `{"a":[1]}`, "s": "t", "b": "true", "null": "null"}}},
		"json and flat":     {map[string]string{"data": `{"job_id":"j","a":"1"}`, "a": "2", "report_id": "r"}, Task{JobID: "j", Attributes: map[string]string{"a": "2", "data.a": "1", "report_id": "r"}}},
		"json wrong object": {map[string]string{"data": `{"job_id":"j","created_at":{}}`}, Task{JobID: "j", Attributes: map[string]string{"created_at": "{}"}}},
	} {
		got, err := DecodeTask(c.entry)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	for _, entry := range []map[string]string{
		{}, {"job_id": "j", "\xff": "x"}, {"job_id": ""}, {"job_id": "\xff"}, {"job_id": "a{b"}, {"job_id": strings.Repeat("j", 257)},
		{"data": ""}, {"data": "null"}, {"data": "[]"}, {"data": "{}"}, {"data": "\xff"}, {"data": `{"job_id":"a\n"}`}, {"data": `{"job_id":null}`},
	} {
		if task, err := DecodeTask(entry); err == nil {
			t.Errorf("%q is a task: %v", entry, task)
		}
	}
}

// entry is an encoded task as a peer reads it.
func entry(t *testing.T, pairs []string) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		if _, twice := m[pairs[i]]; twice {
			t.Errorf("the field %q is there twice", pairs[i])
		}
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func FuzzTaskRoundTrip(f *testing.F) {
	f.Add("job", "report", "a,b", int32(5), int64(1767323045), "name", "value", []byte{0xff})
	f.Add("j", "", "", int32(0), int64(0), "<&>", "\u2028", []byte("text"))
	f.Fuzz(func(t *testing.T, job, report, scanners string, timeout int32, created int64, name, value string, binary []byte) {
		task := Task{JobID: job, ReportID: report, TimeoutSeconds: timeout, Attributes: map[string]string{name: value}}
		for s := range strings.SplitSeq(scanners, ",") {
			task.Scanners = append(task.Scanners, s)
		}
		if created > 0 && created <= maxTime {
			task.CreatedAt = time.Unix(created, 0).UTC()
		}
		if !utf8.Valid(binary) {
			task.BinaryAttributes = map[string][]byte{name + "2": binary}
		}
		if task.Check("task") != nil || !utf8.ValidString(value) {
			return
		}
		for _, encoding := range []Encoding{EncodingFields, EncodingJSON} {
			got, err := DecodeTask(entry(t, EncodeTask(task, encoding)))
			if diff := cmp.Diff(task, got); err != nil || diff != "" {
				t.Errorf("%s: %v %s", encoding, err, diff)
			}
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add("job_id", "j", "scanners", `["a"]`, "data", "{}")
	f.Add("data", `{"job_id":"j","x":[1,{"y":null}]}`, "x", "\xff", "argus_attempt", "99999999999999999999")
	f.Add("\xff", "\xff", "\xfe", "a", "job_id", "j")
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2, n3, v3 string) {
		fields := map[string]string{n1: v1, n2: v2, n3: v3}
		task, m, err := decodeEntry(fields)
		if err != nil {
			return
		}
		if CheckID("job_id", task.JobID) != nil || m.attempts < 0 {
			t.Fatalf("%+v %+v", task, m)
		}
		// What goes into a protobuf string must be UTF-8, and nothing may be lost.
		texts := append([]string{task.JobID, task.ReportID, task.OrganizationID, task.GCSURI}, task.Scanners...)
		for name, value := range task.Attributes {
			texts = append(texts, name, value)
		}
		for name := range task.BinaryAttributes {
			texts = append(texts, name)
		}
		for _, text := range texts {
			if !utf8.ValidString(text) {
				t.Fatalf("%q is not UTF-8", text)
			}
		}
		for name, value := range fields {
			known := strings.HasPrefix(name, metaPrefix) || name == fieldData
			for _, field := range taskFields {
				known = known || name == field
			}
			known = known || strings.Contains(name, ".") // may stand for a name that is there twice
			if !known && task.Attributes[name] != value && !holds(task.BinaryAttributes, value) {
				t.Fatalf("the field %q was lost: %+v", name, task)
			}
		}
		e := decodeEvent("job", "1-0", fields)
		if !utf8.ValidString(string(e.Status)) {
			t.Fatalf("status %q", e.Status)
		}
	})
}

func holds(fields map[string][]byte, value string) bool {
	for _, v := range fields {
		if bytes.Equal(v, []byte(value)) {
			return true
		}
	}
	return false
}

func FuzzKeys(f *testing.F) {
	f.Add("argus:", "a", "b")
	f.Add("{t}:", "job_state:x", "x")
	f.Add("p", "argus_completion", "argus_task_queue")
	f.Fuzz(func(t *testing.T, prefix, a, b string) {
		if (Config{Prefix: prefix}).Validate() != nil || CheckID("id", a) != nil || CheckID("id", b) != nil {
			return
		}
		k := keys{prefix}
		families := map[string]func(string) string{"state": k.state, "completion": k.completion, "delayed": k.delayed,
			"dead": k.deadLetters, "tasks": k.tasks}
		seen := map[string]string{k.delayedQueues(): "the set of delayed queues"}
		for family, build := range families {
			for _, id := range []string{a, b} {
				if family == "tasks" && CheckQueue("queue", id) != nil {
					continue
				}
				key, owner := build(id), fmt.Sprintf("%s %q", family, id)
				if !strings.HasPrefix(key, prefix) {
					t.Fatalf("%s escapes its prefix: %q", owner, key)
				}
				if hashTag(prefix) != "" && hashTag(key) != hashTag(prefix) {
					t.Fatalf("%s moves to another slot: %q", owner, key)
				}
				if other, taken := seen[key]; taken && other != owner {
					t.Fatalf("%s and %s share the key %q", owner, other, key)
				}
				seen[key] = owner
			}
		}
		if a != b {
			for _, one := range [][2]string{{a, b}, {b, a}, {a, a}, {a + ":" + b, a}, {a, b + ":" + a}} {
				key, owner := k.request(one[0], one[1]), fmt.Sprintf("request %q", one)
				if other, taken := seen[key]; taken && other != owner {
					t.Fatalf("%s and %s share the key %q", owner, other, key)
				}
				seen[key] = owner
			}
		}
	})
}

func FuzzLeaseToken(f *testing.F) {
	f.Add(Lease{Prefix: "argus:", Queue: "q", Group: "g", EntryID: "1-0", Consumer: "c", Count: 1, JobID: "j"}.Token(), "p", "q", "c", 1)
	f.Add("", "", "", "", 0)
	f.Add("AQ", "{a}", "q:r", "ü", 1<<30)
	f.Add("AQZh\rcmd1czoBcQFnAzEtMAFjAWoBnS0nrQ", "", "", "", 0) // base64 passes over line ends
	f.Fuzz(func(t *testing.T, token, prefix, queue, consumer string, count int) {
		if lease, err := ParseLease(token); err == nil && lease.Token() != token {
			t.Fatalf("two tokens for one lease: %q and %q", token, lease.Token())
		}
		lease := Lease{Prefix: prefix, Queue: queue, Group: "g", EntryID: "1-0", Consumer: consumer, Count: count, JobID: "j"}
		if CheckQueue("q", queue) != nil || CheckConsumer("c", consumer) != nil || count < 0 || count > 1<<31-1 || len(prefix) > MaxNameBytes {
			return
		}
		token = lease.Token()
		got, err := ParseLease(token)
		if err != nil || got != lease {
			t.Fatalf("%+v became %+v, %v", lease, got, err)
		}
		changed := []byte(token)
		changed[count%len(changed)] ^= 1
		if got, err := ParseLease(string(changed)); err == nil && got == lease {
			t.Fatalf("a changed token is taken for the same lease")
		}
	})
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config Config
		say    string
	}{
		"cluster without a tag": {Config{Cluster: true, Prefix: "argus:"}, `use "{argus}:"`},
		"empty tag":             {Config{Cluster: true, Prefix: "{}:"}, "hash tag"},
		"cluster and sentinel":  {Config{Cluster: true, MasterName: "m", Prefix: "{a}"}, "either"},
		"cluster database":      {Config{Cluster: true, DB: 1, Prefix: "{a}"}, "database 0"},
		"glob prefix":           {Config{Prefix: "a*"}, "glob"},
		"pool":                  {Config{PoolSize: -1}, "pool_size"},
		"time-out":              {Config{ReadTimeout: -1}, "positive"},
	} {
		if err := c.config.Validate(); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Config{Cluster: true, Prefix: "{argus}:"}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestTranslate(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	read := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	for name, c := range map[string]struct {
		err    error
		effect effect
		want   error
	}{
		"dial time-out":        {fmt.Errorf("%w: %w", dial, context.DeadlineExceeded), once, ErrUnavailable},
		"pool time-out":        {goredis.ErrPoolTimeout, once, ErrUnavailable},
		"read time-out, write": {read, once, ErrOutcomeUnknown},
		"read time-out, read":  {read, repeatable, ErrUnavailable},
		"connection lost":      {io.EOF, once, ErrOutcomeUnknown},
		"caller's deadline":    {context.DeadlineExceeded, once, context.DeadlineExceeded},
		"caller gone":          {context.Canceled, repeatable, context.Canceled},
	} {
		if got := translate("test", c.err, c.effect); !errors.Is(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestEntryFieldsKeepsDuplicates(t *testing.T) {
	t.Parallel()
	got := entryFields([]string{"a", "1", "a", "2", "a.2", "3", "a", "4"})
	want := map[string]string{"a": "1", "a.2": "2", "a.2.2": "3", "a.3": "4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCursorBefore(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{"5-3": "5-2", "5-0": "4-18446744073709551615", "0-1": "0-0", "0-0": "0-0"} {
		if got := cursorBefore(id); got != want {
			t.Errorf("before %s is %s, want %s", id, got, want)
		}
	}
}
