package client_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// TestTokenAndTLS stands for a server that has both: the client's side of them is done.
func TestTokenAndTLS(t *testing.T) {
	t.Parallel()
	ca, key, _ := redistest.Certificate(t)
	transport, err := credentials.NewServerTLSFromFile(ca, key)
	if err != nil {
		t.Fatal(err)
	}
	deny := func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		switch strings.Join(md.Get("authorization"), "") {
		case "Bearer right":
			return &argusv1.DeleteResponse{Deleted: true}, nil
		case "":
			return nil, status.Error(codes.Unauthenticated, "no credentials")
		}
		return nil, status.Error(codes.PermissionDenied, "not yours")
	}
	s := grpc.NewServer(grpc.Creds(transport), grpc.UnaryInterceptor(deny))
	argusv1.RegisterJobStateServer(s, argusv1.UnimplementedJobStateServer{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	c := argustest.NewCLIAt(t, listener.Addr().String())
	tls := []string{"state", "rm", "job", "--tls", "--tls-ca-file", ca}
	c.Run(shell.ExitOK, append(tls, "--token", "right")...)
	c.Run(shell.ExitOK, append(tls, "--token-file", argustest.WriteFile(t, "token", "right\n"))...)
	for _, args := range [][]string{tls, append(tls, "--token", "wrong")} {
		_, text := c.Run(shell.ExitDenied, args...)
		if _, text = argustest.SplitWarnings(text); strings.Count(text, "\n") != 1 {
			t.Error(text)
		}
	}
	c.Run(shell.ExitUnavailable, "state", "rm", "job", "--tls") // an authority that no client knows
	c.Run(shell.ExitUnavailable, "state", "rm", "job")          // no TLS
}
