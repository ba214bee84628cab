// Package guard protects a gRPC server from its clients. It bounds the connections, the calls,
// the memory of requests on their way in and of responses that a client does not read, and the
// time that each of them may take. It knows gRPC and HTTP/2, and none of the services.
package guard

import (
	"context"
	"net"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/keepalive"
)

// Config holds the limits of a Guard. Every field must be set unless it says otherwise.
type Config struct {
	Limits   Limits
	Timeouts Timeouts

	// Codec encodes and decodes the messages.
	Codec encoding.CodecV2
	// LargeResponses gives the largest response in bytes of each method, by full name, whose
	// response can be large. Such a call reserves that much of its connection's budget before
	// its handler runs: otherwise a thousand calls would each build a response and wait only
	// then. Long polls don't belong here: they would hold a reservation while they wait.
	LargeResponses map[string]int64
	// ConcurrentReceivers lists the streaming methods, by full name, whose handlers receive in
	// a goroutine of their own and so never block in a receive. Optional.
	ConcurrentReceivers map[string]bool
	// Refuse returns the status of a call that is refused before any interceptor runs, given
	// the reason. It must not block. nil returns the reason itself.
	Refuse func(ctx context.Context, reason error) error
}

// Guard applies the limits to one gRPC server: ServerOptions belong to grpc.NewServer, Listener
// to its Serve.
type Guard struct {
	config      Config
	connections *connections
	calls       atomic.Int64        // open calls
	arriving    *semaphore.Weighted // bytes of large requests that clients are sending
	handled     *semaphore.Weighted // bytes of large requests whose calls run
}

// New returns a guard with the given limits.
func New(config Config) *Guard {
	return &Guard{
		config:      config,
		connections: newConnections(config.Limits.Connections, config.Limits.ConnectionsPerPeer, config.Timeouts.Stall),
		arriving:    semaphore.NewWeighted(int64(config.Limits.RequestBytes)),
		handled:     semaphore.NewWeighted(int64(config.Limits.RequestBytes)),
	}
}

// ServerOptions returns the options of the gRPC server. The given interceptors run between the
// guard's own: they see the errors of the bounds on requests and responses, and their time
// counts as part of the call.
func (g *Guard) ServerOptions(unary grpc.UnaryServerInterceptor, stream grpc.StreamServerInterceptor) []grpc.ServerOption {
	t := g.config.Timeouts
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(trackUnary, unary, g.boundUnary),
		grpc.ChainStreamInterceptor(trackStream, stream, g.boundStream),
		grpc.InTapHandle(g.admitCall),
		grpc.Creds(budgetCredentials{insecure.NewCredentials(), g.arriving}),
		grpc.ForceServerCodecV2(responseCodec{g.config.Codec}),
		grpc.MaxRecvMsgSize(MaxRequestBytes),
		grpc.MaxSendMsgSize(MaxResponseBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(MaxStreams),
		grpc.StaticStreamWindowSize(StreamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ConnectionTimeout(t.Handshake),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: t.MinPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: t.PingAfter, Timeout: t.PingTimeout, MaxConnectionIdle: t.Idle,
			MaxConnectionAge: t.Age, MaxConnectionAgeGrace: t.AgeGrace,
		}),
	}
}

// Listener returns a listener that accepts connections within the limits.
func (g *Guard) Listener(inner net.Listener) net.Listener {
	return admittingListener{inner, g.connections}
}

// CloseHandshakes closes the connections that have not finished their handshake, and every
// connection accepted later. A graceful stop of gRPC would wait for the handshakes first.
func (g *Guard) CloseHandshakes() { g.connections.closeHandshakes() }
