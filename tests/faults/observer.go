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

// observer samples the replication offsets of nodes, and what each sentinel takes for the
// master, until it ends.
type observer struct {
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	seen history.Nodes
}

const samplePeriod = 20 * time.Millisecond

// observe begins; without sentinels there are no addresses of theirs.
func observe(nodes []*node, sentinelAddrs []string) *observer {
	o := &observer{seen: history.Nodes{Samples: make(map[string][]history.Sample), Deaths: make(map[string][]time.Time), Lost: history.LostAll}}
	ctx, cancel := context.WithCancel(ctx)
	o.cancel = cancel
	for _, n := range nodes {
		o.running.Go(func() { o.sample(ctx, n) })
	}
	for _, addr := range sentinelAddrs {
		o.running.Go(func() { o.look(ctx, addr) })
	}
	return o
}

// name is how others know the node.
func (n *node) name() string {
	if n.proxy != nil {
		return n.proxy.addr
	}
	return n.addr
}

// ticking is true each time that another sample is due, until ctx ends.
func ticking(ctx context.Context) func() bool {
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

// sample samples a node.
func (o *observer) sample(ctx context.Context, n *node) {
	for isDue := ticking(ctx); isDue(); {
		asked := time.Now()
		soon, cancel := context.WithTimeout(ctx, time.Second)
		all, err := n.client.InfoMap(soon, "server", "replication", "commandstats").Result()
		cancel()
		if err != nil {
			continue
		}
		o.mu.Lock()
		o.seen.Samples[n.name()] = append(o.seen.Samples[n.name()], sampleOf(all, asked))
		o.mu.Unlock()
	}
}

// writing are commands by which servers write.
var writing = []string{"eval", "evalsha", "xadd", "xreadgroup", "xack", "exec", "hset"}

func sampleOf(all map[string]map[string]string, asked time.Time) history.Sample {
	fields := make(map[string]string)
	for _, section := range all {
		maps.Copy(fields, section)
	}
	number := func(name string) int64 { n, _ := strconv.ParseInt(fields[name], 10, 64); return n }
	s := history.Sample{Asked: asked, Run: fields["run_id"], Master: fields["role"] == "master", Stream: fields["master_replid"],
		Previous: fields["master_replid2"], Offset: number("master_repl_offset"), Kept: number("second_repl_offset") - 1}
	for _, command := range writing {
		s.Served += succeeded(fields["cmdstat_"+command])
	}
	return s
}

// succeeded is how many calls of a command, as INFO writes its statistics, did not fail.
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

// look records what a sentinel takes for the master whenever that changes. The epoch is asked
// for first: should both change in between, the new master counts for less than it could.
func (o *observer) look(ctx context.Context, addr string) {
	sentinel := goredis.NewSentinelClient(&goredis.Options{Addr: addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1,
		DialTimeout: time.Second, ReadTimeout: time.Second, ContextTimeoutEnabled: true})
	defer sentinel.Close()
	var last history.View
	for isDue := ticking(ctx); isDue(); {
		known, err1 := sentinel.Master(ctx, masterName).Result()
		master, err2 := sentinel.GetMasterAddrByName(ctx, masterName).Result()
		if cmp.Or(err1, err2) != nil || len(master) != 2 {
			continue
		}
		now := history.View{Node: net.JoinHostPort(master[0], master[1])}
		now.Epoch, _ = strconv.Atoi(known["config-epoch"])
		if now == last {
			continue
		}
		last, now.At = now, time.Now()
		o.mu.Lock()
		o.seen.Views = append(o.seen.Views, now)
		o.mu.Unlock()
	}
}

// kill kills a node and records when it was dead.
func (o *observer) kill(n *node) {
	n.kill()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen.Deaths[n.name()] = append(o.seen.Deaths[n.name()], time.Now())
}

// mayLose says what failovers may lose.
func (o *observer) mayLose(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen.Lost = what
}

// end ends the observation and returns what was seen.
func (o *observer) end() history.Nodes {
	o.cancel()
	o.running.Wait()
	return o.seen
}
