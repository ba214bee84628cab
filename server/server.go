// Package server is the gRPC service of Argus Queue over package redis.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/server/codec"
)

// Config is what a Server needs. The zero value of a field means its default.
type Config struct {
	// Broker does the work. It stays the caller's: close it after the server.
	Broker Broker
	// Logger gets a record of each call; default slog.Default. Calls that succeed are
	// logged at debug level. Payloads are never logged.
	Logger *slog.Logger
	// MaxWait caps how long a Read or an Await may wait; default 60 s.
	MaxWait time.Duration
	// SendTimeout is how long a caller may take nothing of what is sent on its stream, or of
	// large answers; default 8 s.
	SendTimeout time.Duration
	// MaxConnections is how many clients may be connected, default 10,000, and
	// MaxConnectionsPerPeer how many of them from one address, default 5,000. More are
	// refused.
	MaxConnections        int
	MaxConnectionsPerPeer int

	// MaxCalls is how many calls may be open at once, streams among them, default 100,000;
	// MaxWatchedJobs how many jobs may be watched by streams, default 1,000,000. More are
	// refused.
	MaxCalls       int
	MaxWatchedJobs int
	// MaxRequestBytes is how much of large requests (above 64 KiB) may be on its way to the
	// server, and as much again may be worked on; default 512 MiB. What is more waits at the
	// clients, or is refused.
	MaxRequestBytes int

	// What tests shorten, and what they add.
	patience patience
	options  []grpc.ServerOption
}

// Limits of a connection and a message; gRPC's own defaults are unsafe in most places.
const (
	maxMessage     = 4 << 20 // what clients accept by default
	maxRequest     = 8 << 20 // more than any field may hold, so that it is told which one is too large
	maxHeaderBytes = 16 << 10
	// Per connection. With streamWindow of each and maxUnfinished, a connection holds less than
	// 64 MiB of requests that have not arrived as a whole.
	maxStreams = 750
	// How much a client may send ahead. gRPC would find it out by a ping with each request, which
	// costs as much as a small request itself; and go up to 16 MiB for every stream. It takes no
	// smaller window than 64 KiB.
	streamWindow = 64 << 10
	connWindow   = 1 << 20
)

// patience is how long the server bears with a client.
type patience struct {
	// handshake is how long a new connection may take until it speaks HTTP/2.
	handshake time.Duration
	// request is how long a call's (first) request may take to arrive.
	request time.Duration
	// idle is how long a connection without a call keeps its place among MaxConnections.
	idle time.Duration
	// A connection is renewed at some age, so that clients find new servers; calls get the
	// grace, watches resume by their cursor.
	age, grace time.Duration
	// pingAfter is after how much silence a client is asked whether it is there, pingTimeout
	// how long it may take to answer.
	pingAfter, pingTimeout time.Duration
	// stall is how long a connection may take no byte of what is written to it.
	stall time.Duration
	// heartbeat is how often a client may ask for heartbeats.
	heartbeat time.Duration
	// minPing is how often a client may ping. Many ping every 10 s, and a network brings
	// some of these pings closer together.
	minPing time.Duration
}

var defaultPatience = patience{
	handshake: 10 * time.Second, request: 30 * time.Second, idle: 5 * time.Minute, age: 30 * time.Minute, grace: time.Minute,
	pingAfter: 20 * time.Second, pingTimeout: 10 * time.Second, stall: 20 * time.Second, heartbeat: time.Second, minPing: 5 * time.Second,
}

// Server is the gRPC server: the services, health and reflection.
type Server struct {
	config Config
	log    *slog.Logger
	grpc   *grpc.Server
	health *health.Server
	// serving ends when the server begins to shut down.
	serving context.Context
	drain   context.CancelFunc
	tasks   sync.WaitGroup

	connections *connections
	calls       atomic.Int64 // that are open
	watchedJobs atomic.Int64
	samples     samples             // of what is logged
	requests    *semaphore.Weighted // room for large requests that are worked on
}

// New makes a server. Call Serve, then Shutdown.
func New(config Config) *Server {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.MaxWait == 0 {
		config.MaxWait = time.Minute
	}
	if config.SendTimeout == 0 {
		config.SendTimeout = 8 * time.Second
	}
	if config.MaxConnections == 0 {
		config.MaxConnections = 10000
	}
	if config.MaxConnectionsPerPeer == 0 {
		config.MaxConnectionsPerPeer = 5000
	}
	if config.MaxCalls == 0 {
		config.MaxCalls = 100_000
	}
	if config.MaxWatchedJobs == 0 {
		config.MaxWatchedJobs = 1_000_000
	}
	if config.MaxRequestBytes == 0 {
		config.MaxRequestBytes = 512 << 20
	}
	if config.patience == (patience{}) {
		config.patience = defaultPatience
	}
	s := &Server{config: config, log: config.Logger, health: health.NewServer(),
		requests: semaphore.NewWeighted(int64(config.MaxRequestBytes))}
	s.serving, s.drain = context.WithCancel(context.Background())
	p := config.patience
	s.connections = newConnections(config.MaxConnections, config.MaxConnectionsPerPeer, p.stall)
	s.grpc = grpc.NewServer(slices.Concat(s.interceptors(), []grpc.ServerOption{
		grpc.InTapHandle(s.admitCall),
		grpc.Creds(unreadCounts{insecure.NewCredentials(), semaphore.NewWeighted(int64(config.MaxRequestBytes))}),
		grpc.ForceServerCodecV2(releasingCodec{codec.New()}),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ConnectionTimeout(p.handshake),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: p.minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: p.pingAfter, Timeout: p.pingTimeout, MaxConnectionIdle: p.idle,
			MaxConnectionAge: p.age, MaxConnectionAgeGrace: p.grace,
		}),
	}, config.options)...)
	argusv1.RegisterTaskQueueServer(s.grpc, &taskQueue{server: s, broker: config.Broker})
	argusv1.RegisterJobStateServer(s.grpc, &jobState{broker: config.Broker})
	argusv1.RegisterCompletionServer(s.grpc, &completion{server: s, broker: config.Broker})
	argusv1.RegisterAdminServer(s.grpc, &admin{broker: config.Broker})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.report(healthpb.HealthCheckResponse_NOT_SERVING)
	return s
}

// services are the names that health is reported under, "" for the server as a whole.
var services = []string{"", argusv1.TaskQueue_ServiceDesc.ServiceName,
	argusv1.JobState_ServiceDesc.ServiceName, argusv1.Completion_ServiceDesc.ServiceName, argusv1.Admin_ServiceDesc.ServiceName}

func (s *Server) report(status healthpb.HealthCheckResponse_ServingStatus) {
	for _, service := range services {
		s.health.SetServingStatus(service, status)
	}
}

// Serve answers calls until Shutdown; then it returns nil.
func (s *Server) Serve(listener net.Listener) error {
	s.tasks.Go(s.watchRedis)
	err := s.grpc.Serve(admittingListener{listener, s.connections})
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// How often Redis's health is looked at, and how long it may take to answer.
const (
	healthPeriod  = time.Second
	healthTimeout = 2 * time.Second
)

// watchRedis reports the services as serving while Redis answers. As it runs regularly, it also
// logs how many calls were not logged.
func (s *Server) watchRedis() {
	ticker := time.NewTicker(healthPeriod)
	defer ticker.Stop()
	wasUp, known := false, false
	for {
		ctx, cancel := context.WithTimeout(s.serving, healthTimeout)
		err := s.config.Broker.Ping(ctx)
		cancel()
		if s.serving.Err() != nil {
			return
		}
		if up := err == nil; !known || up != wasUp {
			wasUp, known = up, true
			if up {
				s.log.Info("Redis answers; serving")
				s.report(healthpb.HealthCheckResponse_SERVING)
			} else {
				s.log.Error("Redis is away; not serving until it is back", "error", err)
				s.report(healthpb.HealthCheckResponse_NOT_SERVING)
			}
		}
		s.samples.flush(s.serving, s.log, false)
		select {
		case <-ticker.C:
		case <-s.serving.Done():
			return
		}
	}
}

// Shutdown ends the server: no new calls; open watches end with a retryable status,
// waiting Reads with what they have; other calls are finished. What is not finished
// when ctx ends is cut off. It returns when all handlers have returned.
func (s *Server) Shutdown(ctx context.Context) {
	s.health.Shutdown()
	stopped := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(stopped)
	}()
	s.drain()
	s.connections.end()
	select {
	case <-stopped:
	case <-ctx.Done():
		s.log.Warn("calls did not finish in time and are cut off")
		s.grpc.Stop()
		<-stopped
	}
	s.tasks.Wait()
	s.samples.flush(context.WithoutCancel(ctx), s.log, true)
}

// whileServing is a caller's context that also ends when the server shuts down.
func (s *Server) whileServing(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.serving, func() { cancel(errShuttingDown) })
	return ctx, func() {
		stop()
		cancel(context.Canceled)
	}
}

// ended gives the cause of a context's end instead of its bare error, so that what the
// server ended is told from a caller that went away.
func ended(ctx context.Context, err error) error {
	isEnd := errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled
	cause := context.Cause(ctx)
	if isEnd && (errors.Is(cause, errShuttingDown) || errors.Is(cause, errSlowRequest)) {
		return cause
	}
	return err
}

// What is left of the time until the caller's deadline for the answer: a part, because a
// caller that has little time is in a hurry, and one on a busy machine or network gives much.
const (
	deadlinePart      = 4
	minDeadlineMargin = 50 * time.Millisecond
	maxDeadlineMargin = time.Second
)

// waitTime is how long a call may wait for something: what it asks for, within the
// server's cap and the caller's deadline.
func (s *Server) waitTime(ctx context.Context, asked, otherwise time.Duration, given bool) (time.Duration, error) {
	switch {
	case !given:
		asked = otherwise
	case asked < 0 || asked > 24*time.Hour:
		return 0, &redis.ArgumentError{Field: "wait", Problem: fmt.Sprintf("is %s, want 0s to 24h; 0s does not wait", asked)}
	}
	asked = min(asked, s.config.MaxWait)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		asked = min(asked, left-min(max(left/deadlinePart, minDeadlineMargin), maxDeadlineMargin))
	}
	return max(asked, 0), nil
}
