package server_test

import (
	"slices"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestHealthAndReflection(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	client := healthpb.NewHealthClient(b.conn)
	for _, service := range []string{"", "argus.v1.TaskQueue", "argus.v1.JobState", "argus.v1.Completion"} {
		watch, err := client.Watch(b.ctx, &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		for {
			r, err := watch.Recv()
			if err != nil {
				t.Fatal(service, err)
			}
			if r.GetStatus() == healthpb.HealthCheckResponse_SERVING {
				break
			}
		}
	}
	stream, err := reflectionpb.NewServerReflectionClient(b.conn).ServerReflectionInfo(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range r.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"argus.v1.TaskQueue", "argus.v1.JobState", "argus.v1.Completion", "grpc.health.v1.Health"} {
		if !slices.Contains(names, want) {
			t.Errorf("reflection lists %q, want %s too", names, want)
		}
	}
	_ = stream.CloseSend()
}
