package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// sendGarbage sends what no client should; all of it must be refused, and no server end.
func sendGarbage(w *world) error {
	for _, s := range w.main.servers {
		for _, words := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\xff\xfe\x16\x03\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 10000)} {
			if err := sayTo(s.addr, words); err != nil {
				return err
			}
		}
		conn := connect(s.addr)
		err := badCalls(conn)
		_ = conn.Close()
		if err != nil {
			return err
		}
		if s.hasEnded() {
			return errors.New("a server ended of garbage")
		}
	}
	return nil
}

// sayTo says something to a port, and hears it out for a moment.
func sayTo(addr, words string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = conn.Write([]byte(words)) // it may be cut off: so it should
	_, _ = conn.Read(make([]byte, 1024))
	return nil
}

// noise is a message of which the bytes are no message at all.
type noise struct{}

func (noise) Marshal(any) ([]byte, error) { return []byte("\xff\xff\xff\xff\x0f\x07"), nil }
func (noise) Unmarshal([]byte, any) error { return nil }
func (noise) Name() string                { return "proto" }
func publishOf(text string) *argusv1.PublishRequest {
	return &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "garbage", Attributes: map[string]string{"text": text}}}
}

// badCalls makes calls that must be refused.
func badCalls(conn *grpc.ClientConn) error {
	client := argusv1.NewTaskQueueClient(conn)
	large := strings.Repeat("x", 9<<20)
	for name, call := range map[string]func(context.Context) error{
		"a message of 9 MiB": func(ctx context.Context) error { _, err := client.Publish(ctx, publishOf(large)); return err },
		"9 MiB as gzip": func(ctx context.Context) error {
			_, err := client.Publish(ctx, publishOf(large), grpc.UseCompressor(gzip.Name))
			return err
		},
		"noise": func(ctx context.Context) error {
			return conn.Invoke(ctx, "/argus.v1.TaskQueue/Publish", publishOf(""), &argusv1.PublishResponse{}, grpc.ForceCodec(noise{}))
		},
		"a header of 64 KiB": func(ctx context.Context) error {
			_, err := client.Publish(metadata.AppendToOutgoingContext(ctx, "x", large[:64<<10]), publishOf(""))
			return err
		},
		"a job id with a line break": func(ctx context.Context) error {
			_, err := client.Publish(ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "a\nb"}})
			return err
		},
		"a foreign lease token": func(ctx context.Context) error {
			_, err := client.Complete(ctx, &argusv1.CompleteRequest{LeaseToken: "garbage", Status: argusv1.JobStatus_JOB_STATUS_COMPLETED})
			return err
		},
		"no such method": func(ctx context.Context) error {
			return conn.Invoke(ctx, "/argus.v1.TaskQueue/Garbage", publishOf(""), &argusv1.PublishResponse{})
		},
	} {
		soon, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := call(soon)
		cancel()
		if code := status.Code(err); code == codes.OK || code == codes.DeadlineExceeded {
			return fmt.Errorf("%s: the answer was %v", name, err)
		}
	}
	return nil
}
