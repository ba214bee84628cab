package conn

import (
	"context"
	"net"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// sentinel is one of the sentinels that are asked.
type sentinel struct {
	addr   string
	client *goredis.Client
	events *goredis.PubSub
}

// opinion is which node a sentinel considers the master. Each failover has a higher epoch.
type opinion struct {
	addr  string
	epoch int64
	known []string // the sentinels that it knows, itself included
	// isReplacing: it is in the middle of a failover.
	isReplacing bool
	err         error
}

// The events of sentinels that count: a failover is complete, or starts with the promotion of a
// replica. Between the two, for a second or so, the old master continues to accept writes.
const (
	switched  = "+switch-master"
	promoting = "+failover-state-send-slaveof-noone"
)

func (s *sentinel) close() {
	_ = s.events.Close()
	_ = s.client.Close()
}

// opinion asks the sentinel. The epoch comes before the address: should both change in
// between, the new address counts for less than it could, and not the old one for more.
func (s *sentinel) opinion(ctx context.Context, name string) (o opinion) {
	pipe := s.client.Pipeline()
	master := goredis.NewMapStringStringCmd(ctx, "sentinel", "master", name)
	addr := goredis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", name)
	peers := goredis.NewMapStringStringSliceCmd(ctx, "sentinel", "sentinels", name)
	for _, command := range []goredis.Cmder{master, addr, peers} {
		_ = pipe.Process(ctx, command)
	}
	_, _ = pipe.Exec(ctx) // each has its error; a sentinel may forbid all but the address
	if o.err = addr.Err(); o.err == nil && len(addr.Val()) != 2 {
		o.err = errNoMaster
	}
	if o.err != nil {
		return o
	}
	o.addr = net.JoinHostPort(addr.Val()[0], addr.Val()[1])
	o.isReplacing = strings.Contains(master.Val()["flags"], "failover_in_progress")
	o.epoch, _ = strconv.ParseInt(master.Val()["config-epoch"], 10, 64)
	o.known = append(o.known, s.addr)
	for _, peer := range peers.Val() {
		o.known = append(o.known, net.JoinHostPort(peer["ip"], peer["port"]))
	}
	return o
}

// replacing is the address of the master that an event promoting is about, if it is one of a
// name: "slave <name> <ip> <port> @ <master> <ip> <port>".
func replacing(event, name string) (addr string, ok bool) {
	_, master, _ := strings.Cut(event, " @ ")
	fields := strings.Fields(master)
	if len(fields) != 3 || fields[0] != name {
		return "", false
	}
	return net.JoinHostPort(fields[1], fields[2]), true
}
