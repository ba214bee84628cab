package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// The limits of the models' queues.
const (
	modelAttempts = 3
	modelCrashes  = 2
)

// modelStore is what a model's history runs on: a store of its own, and a broker that can be
// replaced by another.
type modelStore struct {
	*bundle
	t     *testing.T
	queue job.QueueSettings
}

// eachHistory runs random histories on each engine.
func eachHistory(t *testing.T, run func(rt *rapid.T, s *modelStore)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		raw, prefix, n := e.Raw(t), e.Prefix, 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			e.Prefix = fmt.Sprintf("%s%d:", prefix, n)
			client, err := redis.NewClient(patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix}))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(context.Background(), redistest.Patience)
			defer cancel()
			s := &modelStore{t: t, bundle: &bundle{ctx: ctx, engine: e, client: client, raw: raw}}
			defer s.clear()
			run(rt, s)
		})
	})
}

// clear ends the broker, and deletes all that a history left.
func (s *modelStore) clear() {
	if s.broker != nil {
		s.broker.Close()
	}
	if keys := s.keys("*"); len(keys) > 0 {
		s.raw.Del(s.ctx, keys...)
	}
}

// restart replaces the broker, as a restart of the server does.
func (s *modelStore) restart(*rapid.T) {
	if s.broker != nil {
		s.broker.Close()
	}
	settings := s.queue
	settings.MaxAttempts, settings.MaxCrashes, settings.RetryMin, settings.RetryMax = modelAttempts, modelCrashes, time.Hour, time.Hour
	b, err := broker.New(context.Background(), s.client, job.Settings{Logger: slog.New(slog.DiscardHandler), Queue: settings})
	if err != nil {
		s.t.Fatal(err)
	}
	s.broker = b
}

// keys are the store's keys that match a pattern.
func (s *modelStore) keys(pattern string) []string {
	return s.raw.Keys(s.ctx, s.key(pattern)).Val()
}

// tick waits for the next millisecond of Redis's clock, so that the ids that follow differ.
func (s *modelStore) tick() {
	for now := s.raw.Time(s.ctx).Val().UnixMilli(); s.raw.Time(s.ctx).Val().UnixMilli() == now; {
	}
}

// find returns where a task with a report id lies, "" for nowhere. What is in the delayed set or in
// the backlog may go to the stream meanwhile.
func (s *modelStore) find(id string) string {
	for _, set := range []string{"delayed", "fair"} {
		for _, member := range s.raw.ZRange(s.ctx, s.key("argus_"+set+":"+job.DefaultQueue), 0, -1).Val() {
			if strings.Contains(member, id) {
				return set
			}
		}
	}
	for _, entry := range s.stream(s.t, job.DefaultQueue) {
		if strings.Contains(fmt.Sprint(entry.Values), id) {
			return "stream"
		}
	}
	return ""
}

func must(rt *rapid.T, err error) {
	rt.Helper()
	if err != nil {
		rt.Fatal(err)
	}
}

// draw draws one of some values.
func draw[T any](rt *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(rt, label)
}
