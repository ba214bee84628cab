package queue

import (
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// The digest of the earlier version stays what servers of that version computed.
func TestDigestOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	for want, p := range map[string]Publication{
		"358de333862c83f76c0b56726b8fea86": {PublishOptions: PublishOptions{Queue: "argus_task_queue", RequestID: "old"}, Delay: time.Minute,
			Tasks: []job.Task{{JobID: "job", ReportID: "r", Scanners: []string{"a"}, Attributes: map[string]string{"k": "v"}, BinaryAttributes: map[string][]byte{"b": {0xff}}}},
			State: &job.InitialState{Fields: map[string]string{"a": "b"}, TTL: time.Hour, Parts: []string{"p"}}},
		"a072fcdb4fb94cbed32e00b54d6dade7": {PublishOptions: PublishOptions{Queue: "argus_task_queue", RequestID: "older"}, RunAt: at(1800000000),
			Tasks: []job.Task{{}, {JobID: "x", CreatedAt: at(1700000000)}}},
	} {
		if got := p.digestV1(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
