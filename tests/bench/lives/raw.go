package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

const (
	goredisName = "go-redis, pipelines of 64"
	respName    = "hand-written RESP, pipelines of 64"

	lanes = 4
	batch = 64

	rawStream = "argus:argus_task_queue"
	rawGroup  = "argus-workers"
	ttl       = "604800000"
)

// What a task, its state and its result are made of, for every contender.
func taskFields(job string) []string {
	return []string{"job_id", job, "report_id", "report-1", "organization_id", "acme", "gcs_uri", "gs://scans/acme/2026/11/" + job + ".tar.gz",
		"scanners", `["trivy","clamav"]`, "timeout_seconds", "600", "created_at", "1700000000"}
}

var (
	firstState  = []string{"status", "pending", "organization_id", "acme"}
	resultPairs = []string{"findings", "12", "severity", "high", "report_uri", "gs://reports/acme/report-1.json"}
	lastState   = append([]string{"status", "completed", "completed_at", "1700000001"}, resultPairs...)
)

func eventFields(job string) []string {
	return append([]string{"job_id", job, "status", "completed", "completed_at", "1700000001"}, resultPairs...)
}

func jobName(lane, i int) string { return fmt.Sprintf("0190f5fe-7c00-7a00-%04d-%012d", lane, i) }

// timed says how long something took.
func timed(work func() error) (time.Duration, error) {
	start := time.Now()
	err := work()
	return time.Since(start), err
}

// inLanes runs n tasks split over the lanes.
func inLanes(n int, lane func(lane, n int) error) error {
	var all errgroup.Group
	for l := range lanes {
		all.Go(func() error { return lane(l, (n+l)/lanes) })
	}
	return all.Wait()
}

func (b *bench) raw() []*contender {
	return []*contender{{name: respName, lives: b.respLives, idle: b.rawIdle}, {name: goredisName, lives: b.goredisLives}}
}

// goredisLives publishes a batch, reads one and completes it, in each lane, with plain commands
// in pipelines.
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
					if errors.Is(err, goredis.Nil) { // another lane has them; it leaves its own
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

// resp is a connection that speaks RESP with as little as it takes.
type resp struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

func (r *resp) command(words ...string) {
	r.out = append(strconv.AppendInt(append(r.out, '*'), int64(len(words)), 10), '\r', '\n')
	for _, w := range words {
		r.out = append(strconv.AppendInt(append(r.out, '$'), int64(len(w)), 10), '\r', '\n')
		r.out = append(append(r.out, w...), '\r', '\n')
	}
}

func (r *resp) flush() error {
	_, err := r.conn.Write(r.out)
	r.out = r.out[:0]
	return err
}

// reply reads a reply; bulk strings are given to each, if there is one.
func (r *resp) reply(each func(string)) error {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	kind := line[0]
	if kind == '-' {
		return errors.New(string(line))
	}
	n, _ := strconv.Atoi(string(line[1 : len(line)-2]))
	switch kind {
	case '$':
		if n < 0 {
			return nil
		}
		if each == nil {
			_, err = r.in.Discard(n + 2)
			return err
		}
		text := make([]byte, n+2)
		for at := 0; at < len(text); {
			m, err := r.in.Read(text[at:])
			if err != nil {
				return err
			}
			at += m
		}
		each(string(text[:n]))
	case '*':
		for range n {
			if err := r.reply(each); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) dialRESP() (*resp, error) {
	conn, err := net.Dial("tcp", b.RedisAddr)
	return &resp{conn: conn, in: bufio.NewReaderSize(conn, 1<<16)}, err
}

// respLives is goredisLives by hand.
func (b *bench) respLives(ctx context.Context, n int) (time.Duration, error) {
	b.Raw.XGroupCreateMkStream(ctx, rawStream, rawGroup, "0")
	return timed(func() error {
		return inLanes(n, func(lane, n int) error {
			r, err := b.dialRESP()
			if err != nil {
				return err
			}
			defer r.conn.Close()
			consumer := fmt.Sprint("w", lane)
			for done := 0; done < n; {
				size := min(batch, n-done)
				for i := range size {
					job := jobName(lane, done+i)
					r.command(append([]string{"XADD", rawStream, "*"}, taskFields(job)...)...)
					r.command(append([]string{"HSET", "argus:job_state:" + job}, firstState...)...)
					r.command("PEXPIRE", "argus:job_state:"+job, ttl)
				}
				if err := r.flush(); err != nil {
					return err
				}
				for range 3 * size {
					if err := r.reply(nil); err != nil {
						return err
					}
				}
				for read := 0; read < size; {
					r.command("XREADGROUP", "GROUP", rawGroup, consumer, "COUNT", strconv.Itoa(size-read), "STREAMS", rawStream, ">")
					if err := r.flush(); err != nil {
						return err
					}
					var words []string
					if err := r.reply(func(w string) { words = append(words, w) }); err != nil {
						return err
					}
					// The stream's name, then for each entry its id and 14 words of fields.
					const entry = 15
					got := len(words) / entry
					for i := range got {
						id, job := words[1+i*entry], words[3+i*entry]
						r.command(append([]string{"HSET", "argus:job_state:" + job}, lastState...)...)
						r.command(append([]string{"XADD", "argus:argus_completion:" + job, "*"}, eventFields(job)...)...)
						r.command("PEXPIRE", "argus:argus_completion:"+job, ttl)
						r.command("XACK", rawStream, rawGroup, id)
						r.command("XDEL", rawStream, id)
					}
					if err := r.flush(); err != nil {
						return err
					}
					for range 5 * got {
						if err := r.reply(nil); err != nil {
							return err
						}
					}
					read += got
				}
				done += size
			}
			return nil
		})
	})
}

// rawIdle publishes by XADD; a worker blocks on XREADGROUP.
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

// oneByOne publishes n tasks, each when the one before was received, and a little later. A
// task carries when it was published.
func oneByOne(n int, publish func(at string) error, receive func() (string, error)) (*rig.Latencies, error) {
	delays, received, failed := new(rig.Latencies), make(chan struct{}), make(chan error, 1)
	go func() {
		for range n {
			at, err := receive()
			if err != nil {
				failed <- err
				return
			}
			ns, _ := strconv.ParseInt(at, 10, 64)
			delays.Add(time.Duration(time.Now().UnixNano() - ns))
			received <- struct{}{}
		}
	}()
	for range n {
		time.Sleep(3 * time.Millisecond)
		if err := publish(strconv.FormatInt(time.Now().UnixNano(), 10)); err != nil {
			return nil, err
		}
		select {
		case <-received:
		case err := <-failed:
			return nil, err
		case <-time.After(10 * time.Second):
			return nil, errors.New("a task did not come")
		}
	}
	return delays, nil
}
