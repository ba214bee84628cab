package job

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
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

// entry returns an encoded task as a peer reads it.
func entry(t *testing.T, pairs []string) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		if _, twice := m[pairs[i]]; twice {
			t.Errorf("the field %q is a duplicate", pairs[i])
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
		if task.Check() != nil || !utf8.ValidString(value) {
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
		task, m, err := DecodeEntry(fields)
		if err != nil {
			return
		}
		if CheckID("job_id", task.JobID) != nil || m.Attempts < 0 {
			t.Fatalf("%+v %+v", task, m)
		}
		// Protobuf strings must be UTF-8, and no field may be lost.
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
			known := strings.HasPrefix(name, metaPrefix) || name == FieldData
			for _, field := range taskFields {
				known = known || name == field
			}
			known = known || strings.Contains(name, ".") // may stand for a duplicate name
			if !known && task.Attributes[name] != value && !holds(task.BinaryAttributes, value) {
				t.Fatalf("the field %q was lost: %+v", name, task)
			}
		}
		e := DecodeEvent("job", "1-0", fields)
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
