package serve

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/server"
)

// StartDemo starts a server with an embedded store on a free loopback port, without logs. stop
// ends both.
func StartDemo() (addr string, stop func(), err error) {
	store, err := openEmbedded(redis.Config{Prefix: "argus:"})
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		store.close()
		return "", nil, err
	}
	log := slog.New(slog.DiscardHandler)
	b, err := broker.New(context.Background(), store.client, job.Settings{Logger: log})
	if err != nil {
		_ = listener.Close()
		store.close()
		return "", nil, err
	}
	s := server.New(server.Config{Broker: b, Logger: log})
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(listener) })
	return listener.Addr().String(), func() {
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(grace)
		serving.Wait()
		b.Close()
		store.close()
	}, nil
}
