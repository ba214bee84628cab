package queue

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// UncountedTTL is how long it is remembered which deliveries don't count, after the last one.
const UncountedTTL = 24 * time.Hour

// Release releases deliveries that no worker got, as if they had not been delivered. When it fails,
// they are delivered again as if their worker had crashed.
func (s *Settler) Release(ctx context.Context, deliveries []Delivery) {
	if len(deliveries) == 0 {
		return
	}
	leases := make([]job.Lease, len(deliveries))
	for i, d := range deliveries {
		leases[i] = d.Lease
	}
	s.tryRelease(context.WithoutCancel(ctx), leases)
}

// tryRelease releases leases of one queue and group, and logs a failure.
func (s *Settler) tryRelease(ctx context.Context, leases []job.Lease) {
	if err := s.releaseLeases(ctx, leases...); err != nil {
		s.Log.Warn("could not release deliveries; they wait until their lease expires", "queue", leases[0].Queue, "group", leases[0].Group, "deliveries", len(leases), "error", err)
	}
}

// releaseLeases ends leases of one queue and group as if the entries had not been delivered: they keep
// their place. ErrLeaseLost when none of them was held.
func (s *Settler) releaseLeases(ctx context.Context, leases ...job.Lease) error {
	queue, group := leases[0].Queue, leases[0].Group
	args := releaseArgs{Queue: queue, Group: group, Lease: s.QueueSettings(queue).Lease, UncountedTTL: UncountedTTL, Leases: leases}
	released, err := args.run(ctx, s.Conn)
	if err != nil {
		return err
	}
	if released == 0 {
		return job.ErrLeaseLost
	}
	s.registry.scans.reset(queue, group)
	s.waiters.NotifyGroup(s.Keys.Tasks(queue), group)
	return nil
}

// releaseArgs are the arguments of lua/release.lua.
type releaseArgs struct {
	Queue        string
	Group        string
	Lease        time.Duration // after which an entry is due
	UncountedTTL time.Duration
	Leases       []job.Lease
}

// run runs the script. It returns how many leases were released.
func (a *releaseArgs) run(ctx context.Context, c *conn.Conn) (int64, error) {
	args := []any{a.Group, a.Lease.Milliseconds(), a.UncountedTTL.Milliseconds()}
	for _, lease := range a.Leases {
		args = append(args, lease.Args()...)
	}
	released, err := conn.ReleaseScript.Run(ctx, c, conn.Repeatable, []string{c.Keys.Tasks(a.Queue), c.Keys.Uncounted(a.Queue)}, args...)
	n, _ := released.(int64)
	return n, err
}
