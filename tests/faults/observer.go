package main

import (
	"cmp"
	"context"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// observer samples the replication state of nodes, and the master that each sentinel names,
// until it is stopped.
type observer struct {
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	seen history.Nodes
}

const samplePeriod = 20 * time.Millisecond

// observe starts an observer. sentinelAddrs is empty without sentinels.
func observe(nodes []*node, sentinelAddrs []string) *observer {
	o := &observer{seen: history.Nodes{Samples: make(map[string][]history.Sample), Deaths: make(map[string][]time.Time), MayLose: history.LostAll}}
	ctx, cancel := context.WithCancel(ctx)
	o.cancel = cancel
	for _, n := range nodes {
		o.running.Go(func() { o.sample(ctx, n) })
	}
	for _, addr := range sentinelAddrs {
		o.running.Go(func() { o.watchSentinel(ctx, addr) })
	}
	return o
}

// name is the address by which other nodes and the sentinels know the node.
func (n *node) name() string {
	if n.proxy != nil {
		return n.proxy.addr
	}
	return n.addr
}

// sampleTicks returns a function that blocks until the next sample is due. It returns false once
// ctx ends.
func sampleTicks(ctx context.Context) func() bool {
	tick := time.NewTicker(samplePeriod)
	context.AfterFunc(ctx, tick.Stop)
	return func() bool {
		select {
		case <-tick.C:
			return ctx.Err() == nil
		case <-ctx.Done():
			return false
		}
	}
}

// sample samples a node until ctx ends.
func (o *observer) sample(ctx context.Context, n *node) {
	for next := sampleTicks(ctx); next(); {
		requested := time.Now()
		callCtx, cancel := context.WithTimeout(ctx, time.Second)
		all, err := n.client.InfoMap(callCtx, "server", "replication", "commandstats").Result()
		cancel()
		if err != nil {
			continue
		}
		o.mu.Lock()
		o.seen.Samples[n.name()] = append(o.seen.Samples[n.name()], sampleOf(all, requested))
		o.mu.Unlock()
	}
}

// writeCommands are the commands by which servers write.
var writeCommands = []string{"eval", "evalsha", "xadd", "xreadgroup", "xack", "exec", "hset"}

// sampleOf makes a sample of the sections of INFO.
func sampleOf(all map[string]map[string]string, requested time.Time) history.Sample {
	fields := make(map[string]string)
	for _, section := range all {
		maps.Copy(fields, section)
	}
	number := func(name string) int64 { n, _ := strconv.ParseInt(fields[name], 10, 64); return n }
	s := history.Sample{RequestedAt: requested, RunID: fields["run_id"], Master: fields["role"] == "master", ReplID: fields["master_replid"],
		PreviousReplID: fields["master_replid2"], Offset: number("master_repl_offset"), PreviousOffset: number("second_repl_offset") - 1}
	for _, command := range writeCommands {
		s.Writes += succeeded(fields["cmdstat_"+command])
	}
	return s
}

// succeeded is the number of successful calls in a command's statistics, as INFO formats them.
func succeeded(statistics string) (n int) {
	for field := range strings.SplitSeq(statistics, ",") {
		name, text, _ := strings.Cut(field, "=")
		number, _ := strconv.Atoi(text)
		switch name {
		case "calls":
			n += number
		case "failed_calls":
			n -= number
		}
	}
	return n
}

// watchSentinel records each change of the master that a sentinel names. It reads the epoch
// first: if both change in between, the recorded epoch of the new master is too low, never too
// high.
func (o *observer) watchSentinel(ctx context.Context, addr string) {
	sentinel := goredis.NewSentinelClient(&goredis.Options{Addr: addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1,
		DialTimeout: time.Second, ReadTimeout: time.Second, ContextTimeoutEnabled: true})
	defer sentinel.Close()
	var last history.View
	for next := sampleTicks(ctx); next(); {
		state, err1 := sentinel.Master(ctx, masterName).Result()
		master, err2 := sentinel.GetMasterAddrByName(ctx, masterName).Result()
		if cmp.Or(err1, err2) != nil || len(master) != 2 {
			continue
		}
		now := history.View{Node: net.JoinHostPort(master[0], master[1])}
		now.Epoch, _ = strconv.Atoi(state["config-epoch"])
		if now == last {
			continue
		}
		last, now.At = now, time.Now()
		o.mu.Lock()
		o.seen.Views = append(o.seen.Views, now)
		o.mu.Unlock()
	}
}

// kill kills a node and records the time of its death.
func (o *observer) kill(n *node) {
	n.kill()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen.Deaths[n.name()] = append(o.seen.Deaths[n.name()], time.Now())
}

// setLoss sets what failovers may lose: history.LostAll or history.LostUnconfirmed.
func (o *observer) setLoss(loss string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen.MayLose = loss
}

// stop stops the observer and returns its record.
func (o *observer) stop() history.Nodes {
	o.cancel()
	o.running.Wait()
	return o.seen
}
