package broker_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// hash reads a hash as a raw peer does.
func (b *bundle) hash(t *testing.T, name string) map[string]string {
	t.Helper()
	fields, err := b.raw.HGetAll(b.ctx, b.key(name)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

// stream reads a stream as a raw peer does.
func (b *bundle) stream(t *testing.T, name string) []goredis.XMessage {
	t.Helper()
	entries, err := b.raw.XRange(b.ctx, b.key(name), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// expire makes a lease look expired.
func (b *bundle) expire(t *testing.T, l job.Lease) {
	t.Helper()
	if err := b.xclaim(l, 10*job.DefaultLease); err != nil {
		t.Fatal(err)
	}
}

// xclaim makes a consumer the holder of a pending entry, with an idle time.
func (b *bundle) xclaim(l job.Lease, idle time.Duration) error {
	return b.raw.Do(b.ctx, "XCLAIM", b.key(l.Queue), l.Group, l.Consumer, 0, l.EntryID,
		"IDLE", idle.Milliseconds(), "RETRYCOUNT", l.Count, "JUSTID").Err()
}

// entry is an XADD as a raw peer sends it.
func entry(stream string, values ...any) *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: stream, Values: values}
}

// score is a member of a sorted set.
func score(s float64, member string) goredis.Z { return goredis.Z{Score: s, Member: member} }

// groupRead is an XREADGROUP as a raw peer sends it.
func groupRead(stream, group string, count int) *goredis.XReadGroupArgs {
	return &goredis.XReadGroupArgs{Group: group, Consumer: "raw", Streams: []string{stream, ">"}, Count: int64(count), Block: -1}
}

// pendingOf is an XPENDING of up to 100 entries.
func pendingOf(stream, group string) *goredis.XPendingExtArgs {
	return &goredis.XPendingExtArgs{Stream: stream, Group: group, Start: "-", End: "+", Count: 100}
}

// values are an entry's fields.
func values(entry goredis.XMessage) map[string]string {
	fields := make(map[string]string, len(entry.Values))
	for name, value := range entry.Values {
		fields[name], _ = value.(string)
	}
	return fields
}

// add appends an entry as a raw peer does.
func (b *bundle) add(t *testing.T, stream string, values ...any) string {
	t.Helper()
	id, err := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(stream), Values: values}).Result()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// peerEvents appends n events as a raw peer does.
func (b *bundle) peerEvents(t *testing.T, id string, n int, values ...any) {
	t.Helper()
	for n > 0 {
		page := min(n, 1000)
		n -= page
		if _, err := b.raw.Pipelined(b.ctx, func(p goredis.Pipeliner) error {
			for range page {
				p.XAdd(b.ctx, entry(b.key("argus_completion:"+id), values...))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// fatHash writes a hash as a raw peer does: n fields of some bytes each.
func (b *bundle) fatHash(t *testing.T, id string, n, bytes int) {
	t.Helper()
	value := strings.Repeat("x", bytes)
	for at := 0; at < n; {
		if _, err := b.raw.Pipelined(b.ctx, func(p goredis.Pipeliner) error {
			for range min(n-at, 500) {
				p.HSet(b.ctx, b.key("job_state:"+id), fmt.Sprintf("field-%06d", at), value)
				at++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// startLate is a raw worker's start as existing workers do it: the group begins behind what is
// in the stream, unless it exists already.
func (b *bundle) startLate(t *testing.T, name string) {
	t.Helper()
	err := b.raw.XGroupCreateMkStream(b.ctx, b.key(name), job.DefaultGroup, "$").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		t.Fatal(err)
	}
}

// rawRead is a raw worker's read of all there is, as the jobs' ids.
func (b *bundle) rawRead(t *testing.T, name, group string) []string {
	t.Helper()
	var jobs []string
	for {
		streams, err := b.raw.XReadGroup(b.ctx, groupRead(b.key(name), group, 100)).Result()
		if err != nil || len(streams) == 0 {
			return jobs
		}
		for _, m := range streams[0].Messages {
			jobs = append(jobs, fmt.Sprint(m.Values["job_id"]))
		}
	}
}

// rawWork reads all there is as a raw worker, and acknowledges it, without deleting.
func (b *bundle) rawWork(t *testing.T, name, group string) []string {
	t.Helper()
	jobs := b.rawRead(t, name, group)
	for _, p := range b.raw.XPendingExt(b.ctx, pendingOf(b.key(name), group)).Val() {
		b.raw.XAck(b.ctx, b.key(name), group, p.ID)
	}
	return jobs
}

// dump is everything under the test's prefix.
func (b *bundle) dump(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, key := range b.raw.Keys(b.ctx, b.key("*")).Val() {
		switch b.raw.Type(b.ctx, key).Val() {
		case "stream":
			all[key] = fmt.Sprint(b.raw.XRange(b.ctx, key, "-", "+").Val())
		case "hash":
			all[key] = fmt.Sprint(b.raw.HGetAll(b.ctx, key).Val())
		default:
			all[key] = "?"
		}
	}
	return all
}

// jitter takes a random number of round trips, so that what follows happens at a different moment each
// time.
func (b *bundle) jitter(most int) {
	for range rand.IntN(most) {
		b.raw.Ping(b.ctx)
	}
}

// travel makes the delayed tasks of the default queue due, and waits until they are in the
// queue.
func (b *bundle) travel(t *testing.T) {
	t.Helper()
	key := b.key("argus_delayed:" + job.DefaultQueue)
	for _, member := range b.raw.ZRange(b.ctx, key, 0, -1).Val() {
		b.raw.Do(b.ctx, "ZADD", key, 1, member)
	}
	for b.raw.ZCard(b.ctx, key).Val() > 0 {
		if err := b.broker.MoveDue(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
}
