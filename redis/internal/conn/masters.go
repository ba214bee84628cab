package conn

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// masters finds the master that Redis Sentinel watches, and makes the connections to it. The
// driver's own client for Sentinel listens to one sentinel, and one that learns late of a failover
// directs it to the old master, which continues to acknowledge writes that will be lost. So all
// sentinels are asked, the newest configuration counts, and when it names another node, the
// connections to the old one are closed at once.
type masters struct {
	config  Config
	dialer  net.Dialer
	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu        sync.Mutex
	sentinels map[string]*sentinel // by address
	newest    opinion
	// leaving is a master that a sentinel is replacing, since leavingSince; "" for none.
	leaving      string
	leavingSince time.Time
	conns        map[*masterConn]bool
	opened       atomic.Int64 // connections so far
}

// How the sentinels are asked.
const (
	// askFor is how long a sentinel may take to answer.
	askFor = time.Second
	// straggler is how much longer a sentinel is waited for than most of those configured.
	straggler = 250 * time.Millisecond
	// askPeriod is how often they are asked, besides at every new connection and at every
	// failover that one of them reports.
	askPeriod = time.Second
	// leavingFor is how long a master is not written to because a sentinel began to replace it,
	// at most: the replica that was chosen may not answer.
	leavingFor = 10 * time.Second
	// leavingPause is how often it is asked meanwhile whether there is another one.
	leavingPause = 50 * time.Millisecond
)

var (
	// errReplica: the sentinels name a node that says it is a replica.
	errReplica = errors.New("the node that the sentinels name is a replica")
	// errReplaced: the master is being replaced, or was while a connection to it was made.
	errReplaced = errors.New("the sentinels are replacing the master")
	// errNoMaster: no sentinel that answers knows the master.
	errNoMaster = errors.New("no sentinel names the master")
)

// newMasters starts to follow the master; close ends it.
func newMasters(config Config) *masters {
	m := &masters{config: config, sentinels: make(map[string]*sentinel), conns: make(map[*masterConn]bool)}
	options := config.options()
	m.dialer = net.Dialer{Timeout: options.DialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true}}
	m.ctx, m.end = context.WithCancel(context.Background())
	m.know(nil)
	m.running.Go(m.follow)
	return m
}

// client returns a client of the driver for the master.
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

// follow asks the sentinels again and again.
func (m *masters) follow() {
	for Pause(m.ctx, askPeriod) {
		_, _ = m.ask(m.ctx)
	}
}

// know adds sentinels and listens to them, and drops those that are neither configured nor known
// any longer.
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

// listen handles the failovers that a sentinel reports, until it is closed.
func (m *masters) listen(s *sentinel) {
	_ = s.events.Subscribe(m.ctx, switched, promoting) // when it fails, the channel tries again
	for event := range s.events.Channel() {
		if addr, ok := replacing(event.Payload, m.config.MasterName); ok && event.Channel == promoting {
			m.leave(addr)
		}
		_, _ = m.ask(m.ctx)
	}
}

// leave closes the connections to a master that a sentinel begins to replace: what it
// acknowledges from now on is lost.
func (m *masters) leave(addr string) {
	m.mu.Lock()
	m.leaving, m.leavingSince = addr, time.Now()
	m.mu.Unlock()
	m.drop(func(c *masterConn) bool { return c.addr == addr })
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
	errs, known, answered, isReplacing := []error{errNoMaster}, cap(opinions), 0, false
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
			isReplacing = isReplacing || o.isReplacing
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
	newest.isReplacing = isReplacing || answered < known
	m.know(newest.known)
	return m.settle(newest, 2*answered > known)
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

// settle takes an opinion for what holds now, closes the connections to any other node, and
// returns the master's address. An opinion that is older than the last one counts only if
// most sentinels were heard: then they were set up again.
func (m *masters) settle(o opinion, isMost bool) (string, error) {
	m.mu.Lock()
	if o.epoch >= m.newest.epoch || isMost {
		m.newest = o
	}
	addr := m.newest.addr
	if m.leaving != addr || !o.isReplacing || time.Since(m.leavingSince) > leavingFor {
		m.leaving = ""
	}
	isLeaving := m.leaving != ""
	m.mu.Unlock()
	m.drop(func(c *masterConn) bool { return c.addr != addr })
	if isLeaving {
		return "", errReplaced
	}
	return addr, nil
}
