// Command worker processes scan tasks until it gets SIGTERM or ^C; then it finishes the tasks
// it holds.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func main() {
	addr := flag.String("addr", "localhost:7233", "address of the server")
	consumer := flag.String("consumer", fmt.Sprintf("go-%d", os.Getpid()), "this worker's name")
	pace := flag.Duration("pace", 200*time.Millisecond, "duration of a scanner")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	conn, err := grpc.NewClient(*addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	w := worker{queue: argusv1.NewTaskQueueClient(conn), consumer: *consumer, pace: *pace}
	if err := w.run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("worker.go: %d completed, %d lost\n", w.done, w.lost)
}

type worker struct {
	queue      argusv1.TaskQueueClient
	consumer   string
	pace       time.Duration
	done, lost int
}

// run works until ctx ends.
func (w *worker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		response, err := w.queue.Read(ctx, &argusv1.ReadRequest{Consumer: w.consumer})
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case status.Code(err) == codes.Unavailable:
			time.Sleep(250 * time.Millisecond)
		case err != nil:
			return err
		}
		for _, d := range response.GetDeliveries() {
			// A started task is finished even if ctx ends.
			switch err := w.work(context.WithoutCancel(ctx), d); {
			case status.Code(err) == codes.FailedPrecondition: // LEASE_LOST
				w.lost++
			case err != nil:
				return err
			default:
				w.done++
			}
		}
	}
	return nil
}

// work processes one task and records its result. It stops if the lease is lost.
func (w *worker) work(ctx context.Context, d *argusv1.Delivery) error {
	request := &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED,
		Fields: map[string]string{"worked_in": "go", "scanned": strings.Join(d.GetTask().GetScanners(), ",")}}
	for range d.GetTask().GetScanners() {
		time.Sleep(w.pace) // the real work; shorter than a third of the lease here
		lease, err := w.queue.ExtendLease(ctx, &argusv1.ExtendLeaseRequest{LeaseToken: d.GetLeaseToken()})
		if err != nil && !passing(err) {
			return err
		}
		if lease.GetCancelRequested() { // the job was cancelled
			request.Status, request.Fields = argusv1.JobStatus_JOB_STATUS_CANCELLED, nil
			break
		}
	}
	for tries := 1; ; tries++ {
		_, err := w.queue.Complete(ctx, request)
		if !passing(err) || tries == maxTries {
			return err
		}
		time.Sleep(250 * time.Millisecond) // the same token records one result
	}
}

// maxTries is the number of attempts to record a result while the server is unavailable.
// After that, another worker gets the task.
const maxTries = 240

func passing(err error) bool { return status.Code(err) == codes.Unavailable }
