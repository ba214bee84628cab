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

// sendGarbage sends malformed data and invalid calls. The servers must reject them, and keep running.
func sendGarbage(w *world) error {
	for _, s := range w.main.servers {
		for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\xff\xfe\x16\x03\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 10000)} {
			if err := sendRaw(s.addr, text); err != nil {
				return err
			}
		}
		conn := connect(s.addr)
		err := checkInvalidCalls(conn)
		_ = conn.Close()
		if err != nil {
			return err
		}
		if s.hasEnded() {
			return errors.New("a server ended after malformed input")
		}
	}
	return nil
}

// sendRaw sends text to a port, and reads the reply for up to 100 ms.
func sendRaw(addr, text string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = conn.Write([]byte(text)) // the server may close the connection
	_, _ = conn.Read(make([]byte, 1024))
	return nil
}

// malformed is a codec whose messages are invalid protobuf.
type malformed struct{}

func (malformed) Marshal(any) ([]byte, error) { return []byte("\xff\xff\xff\xff\x0f\x07"), nil }
func (malformed) Unmarshal([]byte, any) error { return nil }
func (malformed) Name() string                { return "proto" }

// publishOf is a valid request with a text in it.
func publishOf(text string) *argusv1.PublishRequest {
	return &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "garbage", Attributes: map[string]string{"text": text}}}
}

// checkInvalidCalls makes calls that the server must reject.
func checkInvalidCalls(conn *grpc.ClientConn) error {
	client := argusv1.NewTaskQueueClient(conn)
	large := strings.Repeat("x", 9<<20)
	for name, call := range map[string]func(context.Context) error{
		"a message of 9 MiB": func(ctx context.Context) error { _, err := client.Publish(ctx, publishOf(large)); return err },
		"9 MiB as gzip": func(ctx context.Context) error {
			_, err := client.Publish(ctx, publishOf(large), grpc.UseCompressor(gzip.Name))
			return err
		},
		"malformed protobuf": func(ctx context.Context) error {
			return conn.Invoke(ctx, "/argus.v1.TaskQueue/Publish", publishOf(""), &argusv1.PublishResponse{}, grpc.ForceCodec(malformed{}))
		},
		"a header of 64 KiB": func(ctx context.Context) error {
			_, err := client.Publish(metadata.AppendToOutgoingContext(ctx, "x", large[:64<<10]), publishOf(""))
			return err
		},
		"a job id with a line break": func(ctx context.Context) error {
			_, err := client.Publish(ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "a\nb"}})
			return err
		},
		"an invalid lease token": func(ctx context.Context) error {
			_, err := client.Complete(ctx, &argusv1.CompleteRequest{LeaseToken: "garbage", Status: argusv1.JobStatus_JOB_STATUS_COMPLETED})
			return err
		},
		"an unknown method": func(ctx context.Context) error {
			return conn.Invoke(ctx, "/argus.v1.TaskQueue/Garbage", publishOf(""), &argusv1.PublishResponse{})
		},
	} {
		callCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := call(callCtx)
		cancel()
		if code := status.Code(err); code == codes.OK || code == codes.DeadlineExceeded {
			return fmt.Errorf("%s: want an error, got %v", name, err)
		}
	}
	return nil
}
