package redis

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// masters finds the master that Redis Sentinel watches, and makes the connections to it. The
// driver's own client for Sentinel listens to one sentinel, and one that is late to hear of a
// failover sends it to the old master, which goes on to acknowledge writes that will be lost.
// So all sentinels are asked, the newest configuration counts, and when it names another node,
// the connections to the old one are closed at once.
type masters struct {
	config  Config
	dialer  net.Dialer
	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu        sync.Mutex
	sentinels map[string]*sentinel // by address
	newest    opinion
	conns     map[*masterConn]bool
	opened    atomic.Int64 // connections so far
}

// sentinel is one of those that are asked.
type sentinel struct {
	addr   string
	client *goredis.Client
	events *goredis.PubSub
}

// opinion is what a sentinel takes for the master. Each failover has a higher epoch.
type opinion struct {
	addr  string
	epoch int64
	known []string // the sentinels that it knows, itself included
	err   error
}

// How the sentinels are asked.
const (
	// askFor is how long a sentinel may take to answer.
	askFor = time.Second
	// straggler is how much longer a sentinel is waited for than most of those configured.
	straggler = 250 * time.Millisecond
	// askPeriod is how often they are asked, besides at every new connection and at every
	// failover that one of them tells of.
	askPeriod = time.Second
)

var (
	// errReplica: the sentinels name a node that says it is a replica.
	errReplica = errors.New("the node that the sentinels name is a replica")
	// errReplaced: the master was replaced while a connection to it was made.
	errReplaced = errors.New("the sentinels named another master meanwhile")
	// errNoMaster: no sentinel that answers knows the master.
	errNoMaster = errors.New("no sentinel names the master")
)

// newMasters begins to follow the master.
func newMasters(config Config) *masters {
	m := &masters{config: config, sentinels: make(map[string]*sentinel), conns: make(map[*masterConn]bool)}
	options := config.options()
	m.dialer = net.Dialer{Timeout: options.DialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true}}
	m.ctx, m.end = context.WithCancel(context.Background())
	m.know(nil)
	m.running.Go(m.follow)
	return m
}

// client is a client of the driver's for the master.
func (m *masters) client(options *goredis.UniversalOptions) *goredis.Client {
	simple := options.Simple()
	simple.Addr = m.config.MasterName // of no node: dial finds it
	simple.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) { return m.dial(ctx) }
	simple.OnConnect = refuseReplica
	client := goredis.NewClient(simple)
	client.AddHook(demotionHook{m})
	return client
}

// close ends it and waits until it has ended. The connections stay their owners' to close.
func (m *masters) close() {
	m.mu.Lock()
	m.end()
	for _, s := range m.sentinels {
		s.close()
	}
	m.mu.Unlock()
	m.running.Wait()
}

func (s *sentinel) close() {
	_ = s.events.Close()
	_ = s.client.Close()
}

// follow asks the sentinels again and again.
func (m *masters) follow() {
	for pause(m.ctx, askPeriod) {
		_, _ = m.ask(m.ctx)
	}
}

// know adds sentinels and begins to listen to them, and drops those that are neither
// configured nor known any more.
func (m *masters) know(more []string) {
	addrs := append(m.config.options().Addrs, more...)
	m.mu.Lock()
	defer m.mu.Unlock()
	for addr, s := range m.sentinels {
		if !slices.Contains(addrs, addr) {
			s.close()
			delete(m.sentinels, addr)
		}
	}
	for _, addr := range addrs {
		if m.sentinels[addr] != nil || m.ctx.Err() != nil {
			continue
		}
		client := goredis.NewClient(&goredis.Options{Addr: addr, Password: m.config.SentinelPassword, TLSConfig: m.config.TLS,
			Protocol: 2, DisableIdentity: true, PoolSize: 4, MaxRetries: -1, DialerRetries: 1, DialTimeout: askFor, ReadTimeout: askFor,
			ContextTimeoutEnabled: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
		s := &sentinel{addr, client, client.Subscribe(m.ctx)}
		m.sentinels[addr] = s
		m.running.Go(func() { m.listen(s) })
	}
}

// listen asks all sentinels when one tells of a failover, until it is closed.
func (m *masters) listen(s *sentinel) {
	_ = s.events.Subscribe(m.ctx, "+switch-master") // when it fails, the channel tries again
	for event := range s.events.Channel() {
		if message, ok := strings.CutPrefix(event.Payload, m.config.MasterName+" "); ok && message != "" {
			_, _ = m.ask(m.ctx)
		}
	}
}

// ask asks all sentinels for the master's address, and closes the connections to any other
// node. It waits askFor at most, and for the last ones not long.
func (m *masters) ask(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	opinions, err := m.question(ctx)
	if err != nil {
		return "", err
	}
	var newest opinion
	errs, known, answered := []error{errNoMaster}, cap(opinions), 0
	var late <-chan time.Time
	most := len(m.config.options().Addrs)/2 + 1
	for n := 0; n < known; n++ {
		select {
		case o := <-opinions:
			switch {
			case o.err != nil:
				errs = append(errs, o.err)
				continue
			case newest.addr == "" || o.epoch > newest.epoch:
				newest = o
			}
			if answered++; late == nil && answered >= most {
				late = time.After(straggler)
			}
		case <-late:
			n = known
		case <-ctx.Done():
			errs, n = append(errs, ctx.Err()), known
		}
	}
	if newest.addr == "" {
		return "", errors.Join(errs...)
	}
	m.know(newest.known)
	return m.settle(newest, 2*answered > known), nil
}

// question asks each sentinel for its opinion; the channel has room for all of them.
func (m *masters) question(ctx context.Context) (chan opinion, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return nil, goredis.ErrClosed
	}
	opinions := make(chan opinion, len(m.sentinels))
	for _, s := range m.sentinels {
		m.running.Go(func() { opinions <- s.opinion(ctx, m.config.MasterName) })
	}
	return opinions, nil
}

// opinion asks for the sentinel's. The epoch comes before the address: should both change in
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
	o.epoch, _ = strconv.ParseInt(master.Val()["config-epoch"], 10, 64)
	o.known = append(o.known, s.addr)
	for _, peer := range peers.Val() {
		o.known = append(o.known, net.JoinHostPort(peer["ip"], peer["port"]))
	}
	return o
}

// settle takes an opinion for what holds now, closes the connections to any other node, and
// returns the master's address. An opinion that is older than the last one counts only if
// most sentinels were heard: then they were set up anew.
func (m *masters) settle(o opinion, isMost bool) string {
	m.mu.Lock()
	if o.epoch >= m.newest.epoch || isMost {
		m.newest = o
	}
	addr := m.newest.addr
	m.mu.Unlock()
	m.drop(func(c *masterConn) bool { return c.addr != addr })
	return addr
}
