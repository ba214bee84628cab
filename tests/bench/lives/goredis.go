package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

const (
	goredisName = "go-redis, pipelines of 64"
	respName    = "hand-written RESP, pipelines of 64"

	rawStream = "argus:argus_task_queue"
	rawGroup  = "argus-workers"
	ttl       = "604800000" // milliseconds
)

// raw are the contenders that write what Argus writes, with plain Redis commands and no checks.
func (b *bench) raw() []*contender {
	return []*contender{{name: respName, lives: b.respLives, idle: b.rawIdle}, {name: goredisName, lives: b.goredisLives}}
}

// goredisLives publishes, reads and completes batches by pipelined commands. Each lane reads as
// many tasks as it published.
func (b *bench) goredisLives(ctx context.Context, n int) (time.Duration, error) {
	b.Raw.XGroupCreateMkStream(ctx, rawStream, rawGroup, "0")
	return timed(func() error {
		return inLanes(n, func(lane, n int) error {
			client := goredis.NewClient(&goredis.Options{Addr: b.RedisAddr, Protocol: 2, PoolSize: 1})
			defer client.Close()
			for done := 0; done < n; {
				size := min(batch, n-done)
				pipe := client.Pipeline()
				for i := range size {
					job := jobName(lane, done+i)
					pipe.XAdd(ctx, &goredis.XAddArgs{Stream: rawStream, Values: taskFields(job)})
					pipe.HSet(ctx, "argus:job_state:"+job, firstState)
					pipe.PExpire(ctx, "argus:job_state:"+job, 168*time.Hour)
				}
				if _, err := pipe.Exec(ctx); err != nil {
					return err
				}
				for read := 0; read < size; {
					streams, err := client.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: rawGroup, Consumer: fmt.Sprint("w", lane),
						Streams: []string{rawStream, ">"}, Count: int64(size - read), Block: -1}).Result()
					if errors.Is(err, goredis.Nil) { // other lanes hold the tasks, and leave their own
						continue
					}
					if err != nil {
						return err
					}
					pipe := client.Pipeline()
					for _, m := range streams[0].Messages {
						job, _ := m.Values["job_id"].(string)
						pipe.HSet(ctx, "argus:job_state:"+job, lastState)
						pipe.XAdd(ctx, &goredis.XAddArgs{Stream: "argus:argus_completion:" + job, Values: eventFields(job)})
						pipe.PExpire(ctx, "argus:argus_completion:"+job, 168*time.Hour)
						pipe.XAck(ctx, rawStream, rawGroup, m.ID)
						pipe.XDel(ctx, rawStream, m.ID)
					}
					if _, err := pipe.Exec(ctx); err != nil {
						return err
					}
					read += len(streams[0].Messages)
				}
				done += size
			}
			return nil
		})
	})
}

// rawIdle publishes by XADD to a worker that blocks on XREADGROUP.
func (b *bench) rawIdle(ctx context.Context, n int) (*rig.Latencies, error) {
	b.Raw.XGroupCreateMkStream(ctx, rawStream, rawGroup, "0")
	worker := goredis.NewClient(&goredis.Options{Addr: b.RedisAddr, Protocol: 2, PoolSize: 1, ReadTimeout: -1})
	defer worker.Close()
	return oneByOne(n, func(at string) error {
		return b.Raw.XAdd(ctx, &goredis.XAddArgs{Stream: rawStream, Values: append(taskFields("job"), "at", at)}).Err()
	}, func() (string, error) {
		streams, err := worker.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: rawGroup, Consumer: "w", Streams: []string{rawStream, ">"}, Count: 1}).Result()
		if err != nil {
			return "", err
		}
		m := streams[0].Messages[0]
		at, _ := m.Values["at"].(string)
		return at, errors.Join(b.Raw.XAck(ctx, rawStream, rawGroup, m.ID).Err(), b.Raw.XDel(ctx, rawStream, m.ID).Err())
	})
}
