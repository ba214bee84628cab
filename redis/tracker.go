package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// tracker is how Redis itself rings the doorbell, by server-assisted client-side caching
// (CLIENT TRACKING, Redis 6.0). One connection reads keys, and Redis remembers which; when
// anyone changes, creates or deletes such a key, it sends the key's name, once, to the other
// connection, which is subscribed to invalidations. So a read both looks and asks to be told
// of the next change.
//
// Both connections are this tracker's own and are never made again: when one breaks, all
// that Redis remembered is gone, and a new tracker takes over.
type tracker struct {
	client goredis.UniversalClient // of the reader
	mu     sync.Mutex              // held while reader is used
	reader *goredis.Conn
	ringer goredis.UniversalClient
	bells  *goredis.PubSub
	broken atomic.Bool
	addr   string // of the node, in Cluster
}

// invalidations is where Redis tells changed keys under RESP2.
const invalidations = "__redis__:invalidate"

var (
	// errUntracked: this Redis has no tracking, or forbids it.
	errUntracked = errors.New("redis does not track keys")
	// errTrackerBroken: a connection of the tracker broke.
	errTrackerBroken = errors.New("the tracker's connection broke")
)

// track opens a tracker.
func (c *Client) track(ctx context.Context) (*tracker, error) {
	options, err := c.single(ctx)
	if err != nil {
		return nil, err
	}
	t := &tracker{addr: options.Addrs[0]}
	var id atomic.Int64
	ringer := *options
	ringer.OnConnect = func(ctx context.Context, cn *goredis.Conn) error {
		if id.Load() != 0 {
			return errTrackerBroken
		}
		n, err := cn.ClientID(ctx).Result()
		id.Store(n)
		return err
	}
	t.ringer = goredis.NewUniversalClient(&ringer)
	t.bells = t.ringer.Subscribe(ctx, invalidations)
	if _, err := t.bells.ReceiveTimeout(ctx, c.config.ReadTimeout); err != nil {
		t.close()
		return nil, refusal(err)
	}
	var isConnected atomic.Bool
	reader := *options
	reader.OnConnect = func(ctx context.Context, cn *goredis.Conn) error {
		if isConnected.Swap(true) {
			t.fail()
			return errTrackerBroken
		}
		return cn.Process(ctx, goredis.NewCmd(ctx, "client", "tracking", "on", "redirect", id.Load()))
	}
	t.client = goredis.NewUniversalClient(&reader)
	single, ok := t.client.(*goredis.Client)
	if !ok {
		t.close()
		return nil, fmt.Errorf("track: unexpected client %T", t.client)
	}
	t.reader = single.Conn()
	if err := t.reader.Ping(ctx).Err(); err != nil {
		t.close()
		return nil, refusal(err)
	}
	return t, nil
}

// single are the settings of a client for one connection to the node that has the keys.
func (c *Client) single(ctx context.Context) (*goredis.UniversalOptions, error) {
	options := c.config.options()
	options.PoolSize, options.ConnMaxIdleTime = 1, -1
	addr, err := c.master(ctx)
	if addr != "" {
		options.Addrs, options.IsClusterMode, options.MasterName = []string{addr}, false, ""
	}
	return options, err
}

// master is the address of the node that has the keys, "" for a standalone server.
func (c *Client) master(ctx context.Context) (string, error) {
	if cluster, ok := c.commands.(*goredis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, c.keys.prefix)
		if err != nil {
			return "", translate("find node", err, repeatable)
		}
		return master.Options().Addr, nil
	}
	if c.config.MasterName == "" {
		return "", nil
	}
	var errs []error
	for _, addr := range c.config.options().Addrs {
		sentinel := goredis.NewSentinelClient(&goredis.Options{Addr: addr, Password: c.config.SentinelPassword, TLSConfig: c.config.TLS,
			Protocol: 2, DisableIdentity: true, PoolSize: 1, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: time.Second, ContextTimeoutEnabled: true})
		host, err := sentinel.GetMasterAddrByName(ctx, c.config.MasterName).Result()
		_ = sentinel.Close()
		if err == nil && len(host) == 2 {
			return net.JoinHostPort(host[0], host[1]), nil
		}
		errs = append(errs, err)
	}
	return "", translate("find master", errors.Join(errs...), repeatable)
}

// refusal tells a Redis that won't from one that can't now.
func refusal(err error) error {
	var reply goredis.Error
	told := translate("track", err, repeatable)
	if errors.As(err, &reply) && (!errors.Is(told, ErrUnavailable) || strings.Contains(reply.Error(), "NOPERM")) {
		return fmt.Errorf("%w: %w", errUntracked, err)
	}
	return told
}

func (t *tracker) close() {
	if t.bells != nil {
		_ = t.bells.Close()
	}
	_ = t.ringer.Close()
	if t.client != nil {
		_ = t.client.Close() // ends what reader is about
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reader != nil {
		_ = t.reader.Close()
	}
}

// fail ends a tracker whose reader's connection broke.
func (t *tracker) fail() {
	t.broken.Store(true)
	_ = t.bells.Close()
}

// How a connection that died without a word is noticed: after pingAfter without a bell it
// is pinged, and after a second silence it is given up.
const (
	pingAfter = time.Second
	// checkPeriod is how often it is asked which node has the keys.
	checkPeriod = 2 * time.Second
)

// run rings for changed keys until the tracker breaks or ctx ends. It asks stillThere now
// and then.
func (t *tracker) run(ctx context.Context, changed func([]string), stillThere func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = t.bells.Close() })
	defer stop()
	asked, checked := false, time.Now()
	for {
		if time.Since(checked) > checkPeriod {
			if err := stillThere(); err != nil {
				return err
			}
			checked = time.Now()
		}
		message, err := t.bells.ReceiveTimeout(ctx, pingAfter)
		var timeout net.Error
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case t.broken.Load():
			return errTrackerBroken
		case errors.As(err, &timeout) && timeout.Timeout():
			if asked {
				return errTrackerBroken
			}
			if err := t.bells.Ping(ctx); err != nil {
				return err
			}
			asked = true
			continue
		case err != nil: // also a message without keys: all of them changed
			return err
		}
		asked = false
		if m, ok := message.(*goredis.Message); ok {
			changed(m.PayloadSlice)
		}
	}
}

// stillMaster fails when the node that has the keys is another than the tracker's.
func (c *Client) stillMaster(ctx context.Context, t *tracker) error {
	addr, err := c.master(ctx)
	if err == nil && addr != "" && addr != t.addr {
		err = errTrackerBroken
	}
	return err
}

// WaitStats say who waits at a broker, and how he is woken.
type WaitStats struct {
	// Tracking: Redis rings for what others write. Else it is found by sweeping.
	Tracking bool
	// Trackers is how often it began to: once, unless its connections broke.
	Trackers int64
	Workers  int // waiting Reads
	Keys     int // completion streams and states that are watched
	// Rings is how often Redis told of a changed key, Reads how many keys were looked at,
	// Pipelines in how many round trips, and Sweeps how often all keys were swept.
	Rings, Reads, Pipelines, Sweeps int64
}

// WaitStats tells who waits.
func (b *Broker) WaitStats() WaitStats {
	s := WaitStats{Tracking: b.tracker.Load() != nil, Trackers: b.trackers.Load(), Rings: b.rings.Load(),
		Reads: b.reads.read.Load(), Pipelines: b.reads.pipelines.Load(), Sweeps: b.sweeps.Load()}
	s.Workers, s.Keys = b.bell.waiters()
	return s
}
