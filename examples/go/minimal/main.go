// Command minimal is the smallest useful worker: it reads one task at a time and records its
// result. The README shows its loop. It does not renew leases; examples/go/worker does.
package main

import (
	"cmp"
	"context"
	"log"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func main() {
	addr := cmp.Or(os.Getenv("ARGUS_ADDR"), "localhost:7233")
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(work(context.Background(), argusv1.NewTaskQueueClient(conn)))
}

func work(ctx context.Context, queue argusv1.TaskQueueClient) error {
	for {
		tasks, err := queue.Read(ctx, &argusv1.ReadRequest{Consumer: "go-1"})
		if err != nil {
			return err
		}
		for _, d := range tasks.GetDeliveries() {
			result := &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(),
				Status: argusv1.JobStatus_JOB_STATUS_COMPLETED, Fields: scan(d.GetTask())}
			if _, err := queue.Complete(ctx, result); err != nil {
				return err
			}
		}
	}
}

// scan stands for the real work.
func scan(task *argusv1.Task) map[string]string {
	return map[string]string{"worked_in": "go", "scanned": strings.Join(task.GetScanners(), ",")}
}
