package server

import "context"

// receive receives a stream's requests in a goroutine of its own, until ctx ends or no
// request follows: then ended gets the reason. The goroutine ends with the stream, which is as
// soon as its handler returns.
func receive[T any](ctx context.Context, recv func() (T, error)) (requests <-chan T, ended <-chan error) {
	received, failed := make(chan T), make(chan error, 1)
	go func() {
		for {
			r, err := recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case received <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return received, failed
}
