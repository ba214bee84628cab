package guard

import (
	"net"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/credentials"
)

// budgetCredentials gives each connection its budgets. The handshake is the place where gRPC
// lets a connection be replaced and be known to its calls.
type budgetCredentials struct {
	credentials.TransportCredentials
	arriving *semaphore.Weighted // see Guard
}

// connState is what the calls of a connection know of it.
type connState struct {
	credentials.AuthInfo
	refused  bool                // above a limit: its calls fail
	unread   *semaphore.Weighted // bytes of large responses, see MaxUnreadBytes
	progress atomic.Int64        // counts the chunks of large responses that were sent
}

func (b budgetCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	admitted, _ := raw.(*conn)
	secured, info, err := b.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	state := &connState{AuthInfo: info, refused: admitted != nil && admitted.refused, unread: semaphore.NewWeighted(MaxUnreadBytes)}
	return newWindowConn(secured, b.arriving), state, nil
}

func (b budgetCredentials) Clone() credentials.TransportCredentials {
	return budgetCredentials{b.TransportCredentials.Clone(), b.arriving}
}
