package redis

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"
)

// MaxShards is how many shards there may be.
const MaxShards = 64

// Shards is a tenant whose jobs are spread over several prefixes, so that it can use more
// than one master of a Redis Cluster: all keys of a job lie under one of them. Each shard is
// a Broker; a job's is the CRC-32 (IEEE) of its id modulo their number, which is fixed when
// the first server starts. What workers read comes from all of them.
//
// It has a Broker's methods but Clean, States and Watch, in whose place WatchFrames stands, and
// does what they do, with these differences: a PublishBatch
// of jobs of several shards is atomic in each of them; limits of a queue are shared out; a
// page of a list may hold fewer entries than asked for; and as long as one master answers,
// what lies on it goes on.
type Shards struct {
	brokers []*Broker
	next    atomic.Uint32 // which shard is read first, and gets what may lie anywhere
}

// NewShards starts the shards of a client whose Config says how many there are. The client
// stays the caller's: close it after them. *ArgumentError when they are another number than
// they were.
func NewShards(ctx context.Context, client *Client, config BrokerConfig) (*Shards, error) {
	n := client.config.Shards
	if n == 0 {
		return nil, invalid("shards", "must be at least 1")
	}
	if err := client.CheckShards(ctx); err != nil {
		return nil, err
	}
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Shards{}
	for i := range n {
		b, err := NewBroker(client.shard(i), config.ofShard(i, n))
		if err != nil {
			s.Close()
			return nil, err
		}
		b.owns = func(jobID string) bool { return shardOf(jobID, n) == i }
		s.brokers = append(s.brokers, b)
	}
	return s, nil
}

// shardOf is the shard of a name: raw peers can compute it too.
func shardOf(name string, shards int) int {
	return int(crc32.ChecksumIEEE([]byte(name)) % uint32(shards))
}

// shardBase is what a prefix and its shards have in common: "argus" of "argus:" and of
// "{argus}:".
func shardBase(prefix string) string {
	base := strings.TrimSuffix(prefix, ":")
	if inner, ok := strings.CutPrefix(base, "{"); ok && strings.HasSuffix(inner, "}") {
		base = strings.TrimSuffix(inner, "}")
	}
	return base
}

// shard is the client of a shard.
func (c *Client) shard(i int) *Client {
	return c.withPrefix(fmt.Sprintf("{%s:%02d}:", shardBase(c.config.Prefix), i))
}

// CheckShards fixes the number of shards where none was fixed, and else fails with an
// *ArgumentError when the settings say another one. Each shard keeps the number.
func (c *Client) CheckShards(ctx context.Context) error {
	want := strconv.Itoa(c.config.Shards)
	for i := range max(1, c.config.Shards) {
		shard := c.shard(i)
		if c.config.Shards > 0 {
			err := shard.commands.SetArgs(ctx, shard.keys.shards(), want, goredis.SetArgs{Mode: "NX"}).Err()
			if err != nil && !errors.Is(err, goredis.Nil) {
				return translate("fix the number of shards", err, repeatable)
			}
		}
		fixed, err := shard.commands.Get(ctx, shard.keys.shards()).Result()
		switch err := translate("read the number of shards", err, repeatable); {
		case errors.Is(err, ErrUnavailable) && c.config.Shards > 0:
			return err
		case err == nil && fixed != want:
			return invalid("shards", "is %s, and this prefix was first used with %s: set it to that. To change it, use another prefix, and move over when the first is worked off", want, fixed)
		}
	}
	return nil
}

// ofShard is how one of n shards treats its queues.
func (c BrokerConfig) ofShard(i, n int) BrokerConfig {
	c.Logger = c.Logger.With("shard", i)
	c.Queue = c.Queue.ofShard(n)
	c.Queues = maps.Clone(c.Queues)
	for name, q := range c.Queues {
		c.Queues[name] = q.ofShard(n)
	}
	return c
}

// ofShard gives each of n shards its part of a queue's limits.
func (c QueueConfig) ofShard(n int) QueueConfig {
	share := func(limit int) int { return (limit + n - 1) / n }
	c.MaxLength, c.FairMaxInFlight = share(c.MaxLength), share(c.FairMaxInFlight)
	c.FairMaxInFlightOf = maps.Clone(c.FairMaxInFlightOf)
	for organization, limit := range c.FairMaxInFlightOf {
		c.FairMaxInFlightOf[organization] = share(limit)
	}
	return c
}

// newJobID makes the id of a job that lies here.
func (b *Broker) newJobID() string {
	for {
		id := uuid.Must(uuid.NewV7()).String()
		if b.owns == nil || b.owns(id) {
			return id
		}
	}
}

// Close ends the background work of all shards and waits for it.
func (s *Shards) Close() {
	for _, b := range s.brokers {
		b.Close()
	}
}

// index is the number of a job's shard, of the shard itself.
func (s *Shards) index(jobID string) int { return shardOf(jobID, len(s.brokers)) }

func (s *Shards) of(jobID string) *Broker { return s.brokers[s.index(jobID)] }

// any is each shard in turn.
func (s *Shards) any() int { return int(s.next.Add(1) % uint32(len(s.brokers))) }

// holder is the shard under whose prefix a lease was given, or, to tell what is wrong with
// the token, any.
func (s *Shards) holder(token string) *Broker { return s.brokers[s.holderIndex(token)] }

func (s *Shards) holderIndex(token string) int {
	lease, err := ParseLease(token)
	if err != nil {
		return 0
	}
	return s.under(lease.Prefix)
}

// under is the shard with a prefix, 0 when there is none.
func (s *Shards) under(prefix string) int {
	for i, b := range s.brokers {
		if b.keys.prefix == prefix {
			return i
		}
	}
	return 0
}

// all runs something for every shard at once, and returns the errors by shard.
func (s *Shards) all(call func(i int, b *Broker) error) []error {
	every := make([]int, len(s.brokers))
	for i := range every {
		every[i] = i
	}
	return s.some(every, call)
}

// some is all for some of the shards.
func (s *Shards) some(which []int, call func(i int, b *Broker) error) []error {
	errs := make([]error, len(s.brokers))
	if len(which) == 1 {
		i := which[0]
		errs[i] = call(i, s.brokers[i])
		return errs
	}
	var calls sync.WaitGroup
	for _, i := range which {
		calls.Go(func() { errs[i] = call(i, s.brokers[i]) })
	}
	calls.Wait()
	return errs
}

// firstOf is the first error that is one.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// scatter splits items over shards, runs a call with each part at once, and puts the
// results where their items were. The errors are by shard.
func scatter[T, R any](s *Shards, items []T, shard func(T) int, call func(i int, b *Broker, part []T) ([]R, error)) ([]R, []error) {
	places := make([][]int, len(s.brokers))
	for at, item := range items {
		i := shard(item)
		places[i] = append(places[i], at)
	}
	var busy []int
	for i := range places {
		if len(places[i]) > 0 {
			busy = append(busy, i)
		}
	}
	results := make([]R, len(items))
	errs := s.some(busy, func(i int, b *Broker) error {
		part := make([]T, len(places[i]))
		for n, at := range places[i] {
			part[n] = items[at]
		}
		found, err := call(i, b, part)
		for n, r := range found {
			results[places[i][n]] = r
		}
		return err
	})
	return results, errs
}

// Ping asks for a sign of life; it fails when no shard gives any.
func (s *Shards) Ping(ctx context.Context) error {
	errs := s.all(func(_ int, b *Broker) error {
		_, err := b.client.commands.Exists(ctx, b.keys.shards()).Result()
		return translate("ping", err, repeatable)
	})
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errs[0]
}

// WaitStats tells who waits, in all shards.
func (s *Shards) WaitStats() WaitStats {
	sum := WaitStats{Tracking: true}
	for i, b := range s.brokers {
		w := b.WaitStats()
		if i == 0 {
			sum.Workers = w.Workers // each waits in all of them
		}
		sum.Tracking = sum.Tracking && w.Tracking
		sum.Trackers, sum.Keys = sum.Trackers+w.Trackers, sum.Keys+w.Keys
		sum.Rings, sum.Reads, sum.Pipelines, sum.Sweeps = sum.Rings+w.Rings, sum.Reads+w.Reads, sum.Pipelines+w.Pipelines, sum.Sweeps+w.Sweeps
		sum.UnseenRemoved += w.UnseenRemoved
	}
	return sum
}

// claimSpare is how much longer than its records a claim is kept: it is made before them.
const claimSpare = time.Minute

// requestClaim is an attempt to publish with a request id. Without one it is nil.
type requestClaim struct {
	broker  *Broker // of the shard that keeps it
	keys    []string
	digests string
	attempt string
}

// claim checks tasks that are to be published, and makes their request id, if they have one,
// stand for one request in all shards: the shard of the id keeps the digest of the first
// that was made with it. ErrRequestIDConflict for another.
func (s *Shards) claim(ctx context.Context, p publication, field func(int) string) (*requestClaim, error) {
	b := s.of(p.RequestID)
	queue, err := b.queueName(p.Queue)
	if err != nil {
		return nil, err
	}
	if _, err := b.entries(p.Tasks, b.queueConfig(queue), p.State != nil, field); err != nil || p.RequestID == "" {
		return nil, err
	}
	if err := CheckID("request_id", p.RequestID); err != nil {
		return nil, err
	}
	p.Queue = queue
	c := &requestClaim{broker: b, keys: []string{b.keys.claim(queue, p.RequestID), b.keys.oldClaim(p.RequestID)}, digests: p.digests(), attempt: uuid.NewString()}
	word, err := c.run(ctx, "claim")
	if word == "CONFLICT" {
		err = ErrRequestIDConflict
	}
	return c, err
}

func (c *requestClaim) run(ctx context.Context, mode string) (string, error) {
	ttl := (c.broker.config.RequestWindow + claimSpare).Milliseconds()
	return claimScript.word(ctx, c.broker.client, repeatable, c.keys, mode, c.digests, ttl, c.attempt)
}

// release frees the request id when no shard has recorded the request: all have refused it, and
// there was no other attempt. That it can't is no reason to fail: the claim expires.
func (c *requestClaim) release(ctx context.Context, errs ...error) {
	if c == nil || slices.ContainsFunc(errs, func(err error) bool { return !isRefusal(err) }) {
		return
	}
	if _, err := c.run(context.WithoutCancel(ctx), "release"); err != nil {
		c.broker.log.Debug("could not free a request id", "error", err)
	}
}

// isRefusal is true of the error of a publish that wrote nothing.
func isRefusal(err error) bool {
	for _, refusal := range []error{ErrInvalid, ErrQueueFull, ErrJobExists, ErrJobActive, ErrTooManyQueues, ErrOutOfMemory} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
