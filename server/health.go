package server

import (
	"context"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// Pinger checks that the store is available.
type Pinger interface {
	Ping(ctx context.Context) error
}

// healthNames are the names under which health is reported, "" for the server as a whole.
var healthNames = []string{"", argusv1.TaskQueue_ServiceDesc.ServiceName,
	argusv1.JobState_ServiceDesc.ServiceName, argusv1.Completion_ServiceDesc.ServiceName, argusv1.Admin_ServiceDesc.ServiceName}

func (s *Server) report(status healthpb.HealthCheckResponse_ServingStatus) {
	for _, name := range healthNames {
		s.health.SetServingStatus(name, status)
	}
}

// How often Redis is checked, and how long it may take to answer.
const (
	healthPeriod  = time.Second
	healthTimeout = 2 * time.Second
)

// monitor reports the services as serving while Redis answers, until the server shuts down. It
// also flushes the call log, for which it is a convenient clock.
func (s *Server) monitor() {
	serving := s.lifecycle.serving
	ticker := time.NewTicker(healthPeriod)
	defer ticker.Stop()
	wasUp, isKnown := false, false
	for {
		err := s.ping(serving)
		if serving.Err() != nil {
			return
		}
		if isUp := err == nil; !isKnown || isUp != wasUp {
			wasUp, isKnown = isUp, true
			s.healthChanged(err)
		}
		s.calls.flush(serving, false)
		select {
		case <-ticker.C:
		case <-serving.Done():
			return
		}
	}
}

func (s *Server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	return s.broker.Ping(ctx)
}

func (s *Server) healthChanged(err error) {
	if err == nil {
		s.logger.Info("Redis is available; serving")
		s.report(healthpb.HealthCheckResponse_SERVING)
		return
	}
	s.logger.Error("Redis is unavailable; not serving", "error", err)
	s.report(healthpb.HealthCheckResponse_NOT_SERVING)
}
