package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// work is one worker of the demo.
func (d *demo) work(ctx context.Context, number int) error {
	name := fmt.Sprintf("worker-%d", number+1)
	for ctx.Err() == nil {
		response, err := d.queue.Read(ctx, &argusv1.ReadRequest{Consumer: name, Wait: durationpb.New(10 * time.Second)})
		if err != nil {
			return err
		}
		for _, delivery := range response.GetDeliveries() {
			if err := d.scan(ctx, number, delivery); err != nil {
				return err
			}
		}
	}
	return nil
}

// scan pretends to run the task's scanners, one after the other, and settles the task.
func (d *demo) scan(ctx context.Context, number int, delivery *argusv1.Delivery) error {
	defer d.board.works(number, "")
	findings := 0
	for _, scanner := range delivery.GetTask().GetScanners() {
		if err := d.startScanner(ctx, number, delivery, scanner); err != nil {
			return err
		}
		if !client.Sleep(ctx, d.pace/2+time.Duration(rand.Float64()*float64(d.pace))) {
			return nil
		}
		if isSettled, err := d.maybeFail(ctx, delivery, scanner); isSettled || err != nil {
			return err
		}
		findings += rand.IntN(5)
		fields := map[string]string{scanner + "_status": "done"}
		if _, err := d.state.SetFields(ctx, &argusv1.SetFieldsRequest{JobId: delivery.GetTask().GetJobId(), Fields: fields, LeaseToken: delivery.GetLeaseToken()}); err != nil {
			return err
		}
	}
	_, err := d.queue.Complete(ctx, &argusv1.CompleteRequest{LeaseToken: delivery.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED,
		Fields: map[string]string{"findings": fmt.Sprint(findings)}})
	return err
}

// startScanner writes the progress to the job's state, and shows the state.
func (d *demo) startScanner(ctx context.Context, number int, delivery *argusv1.Delivery, scanner string) error {
	job := delivery.GetTask().GetJobId()
	fields := map[string]string{"status": "running", scanner + "_status": "running"}
	if _, err := d.queue.ExtendLease(ctx, &argusv1.ExtendLeaseRequest{LeaseToken: delivery.GetLeaseToken(), ProgressFields: fields}); err != nil {
		return err
	}
	state, err := d.state.GetAll(ctx, &argusv1.GetAllRequest{JobId: job})
	if err != nil {
		return err
	}
	d.board.works(number, fmt.Sprintf("%s  attempt %d  %s", job, delivery.GetDeliveryAttempt(), output.Fields(state.GetFields())))
	return nil
}

// maybeFail sometimes lets the job fail, or gives its task back.
func (d *demo) maybeFail(ctx context.Context, delivery *argusv1.Delivery, scanner string) (isSettled bool, err error) {
	token := delivery.GetLeaseToken()
	switch n := rand.IntN(20); {
	case n == 0:
		_, err := d.queue.Complete(ctx, &argusv1.CompleteRequest{LeaseToken: token,
			Status: argusv1.JobStatus_JOB_STATUS_FAILED, ErrorMessage: scanner + ": no such image"})
		return true, err
	case n <= 2 && delivery.GetDeliveryAttempt() < 3:
		d.board.retried(delivery.GetTask().GetJobId())
		_, err := d.queue.Nack(ctx, &argusv1.NackRequest{LeaseToken: token, Delay: durationpb.New(d.pace), Reason: scanner + ": registry is down"})
		return true, err
	}
	return false, nil
}
