// Package server is the gRPC service of Argus Queue over package redis. Each service has a file
// of its own, with the interface of what it needs from the store; errors.go turns failures into
// statuses; package guard protects the server from its clients.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/server/codec"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// Server is the gRPC server: the services, health and reflection.
type Server struct {
	broker     Broker
	logger     *slog.Logger
	grpc       *grpc.Server
	guard      *guard.Guard
	health     *health.Server
	calls      *callLog
	lifecycle  *lifecycle
	background sync.WaitGroup
}

// New returns a server. Call Serve, then Shutdown.
func New(config Config) *Server {
	config = config.withDefaults()
	s := &Server{broker: config.Broker, logger: config.Logger, health: health.NewServer(),
		calls: &callLog{logger: config.Logger}, lifecycle: newLifecycle()}
	s.guard = guard.New(guard.Config{
		Limits: config.limits(), Timeouts: config.timeouts, Codec: codec.New(), Refuse: s.calls.refuse,
		LargeResponses: largeResponses, ConcurrentReceivers: concurrentReceivers,
	})
	interceptors := &interceptors{s.calls, s.lifecycle}
	options := s.guard.ServerOptions(interceptors.unary, interceptors.stream)
	s.grpc = grpc.NewServer(append(options, config.options...)...)
	s.register(config)
	s.report(healthpb.HealthCheckResponse_NOT_SERVING)
	return s
}

// largeResponses are the methods whose responses can be large; see guard.Config. Read and Await
// are not among them: they wait for long, and for little.
var largeResponses = map[string]int64{
	argusv1.JobState_GetAll_FullMethodName:       maxMessage,
	argusv1.JobState_GetField_FullMethodName:     1 << 20,
	argusv1.Admin_ListDeadLetters_FullMethodName: maxMessage,
	argusv1.Admin_ListPending_FullMethodName:     1 << 20,
	argusv1.Admin_GetJob_FullMethodName:          maxMessage,
	argusv1.Admin_ListTasks_FullMethodName:       maxMessage,
	argusv1.Admin_ListQueues_FullMethodName:      maxMessage,
}

// concurrentReceivers are the methods whose handlers use receive; see guard.Config.
var concurrentReceivers = map[string]bool{
	argusv1.TaskQueue_Consume_FullMethodName:    true,
	argusv1.Completion_WatchMany_FullMethodName: true,
}

// register adds the services to the gRPC server.
func (s *Server) register(config Config) {
	waits := &waitPolicy{config.MaxWait, config.minHeartbeat}
	argusv1.RegisterTaskQueueServer(s.grpc, &taskQueue{tasks: config.Broker, waits: waits, lifecycle: s.lifecycle})
	argusv1.RegisterJobStateServer(s.grpc, &jobState{states: config.Broker})
	argusv1.RegisterCompletionServer(s.grpc, &completion{events: config.Broker, waits: waits, lifecycle: s.lifecycle,
		watchedJobs: &watchLimit{max: int64(config.MaxWatchedJobs)}})
	argusv1.RegisterAdminServer(s.grpc, &adminService{store: config.Broker})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
}

// Serve accepts connections until Shutdown, then returns nil. It closes the listener.
func (s *Server) Serve(listener net.Listener) error {
	s.background.Go(s.monitor)
	err := s.grpc.Serve(s.guard.Listener(listener))
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Shutdown stops the server and returns when all handlers have returned. It accepts no new
// calls, ends open streams with a retryable status and waiting Reads with what they have, and
// lets other calls finish until ctx ends; then it cancels them.
func (s *Server) Shutdown(ctx context.Context) {
	s.health.Shutdown()
	stopped := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(stopped)
	}()
	s.lifecycle.shutDown()
	s.guard.CloseHandshakes()
	select {
	case <-stopped:
	case <-ctx.Done():
		s.logger.Warn("calls did not finish before the shutdown's deadline; cancelling them")
		s.grpc.Stop()
		<-stopped
	}
	s.background.Wait()
	s.calls.flush(context.WithoutCancel(ctx), true)
}
