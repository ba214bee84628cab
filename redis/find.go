package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Where says where a job's task is.
type Where string

// The places.
const (
	WhereWaiting Where = "WAITING" // in its queue; also when its lease ran out
	WhereLeased  Where = "LEASED"  // a worker has it
	WhereDelayed Where = "DELAYED" // it waits for its time
	WhereDead    Where = "DEAD"    // among the dead letters
	WhereNowhere Where = ""        // no task of the job was found
)

// Place is where a job's task is, and why.
type Place struct {
	Where   Where
	Queue   string
	EntryID string // in the stream, or among the dead letters
	// Group and Consumer have the lease, or had it last, until LeaseExpires.
	Group        string
	Consumer     string
	LeaseExpires time.Time
	DueAt        time.Time // of a delayed task
	Attempts     int       // deliveries so far
	Failures     int       // of these, given back by a worker
	Cause        string    // of a dead letter
	Reason       string    // why it was given back or died, as its worker said
	PublishedAt  time.Time
	Task         Task

	member string // of the delayed set or of the backlog
}

// set is the sorted set that the member is in.
func (p Place) set(k keys) string {
	if p.Where == WhereWaiting {
		return k.backlog(p.Queue)
	}
	return k.delayed(p.Queue)
}

// memberPlace is a member of such a set as a place; false when it is no task.
func memberPlace(where Where, member string) (Place, bool) {
	var fields []string
	if where == WhereWaiting {
		fields, _ = unpackBacklog(member)
	} else if list, ok := unpack(member); ok {
		fields = list[1:]
	}
	p, ok := placeOf(where, "", entryFields(fields))
	p.member = member
	return p, ok
}

// JobInfo is all that is known of a job.
type JobInfo struct {
	Status Status // by its result, else by its state; "" when it has neither
	Result *Event // nil while it has none
	Place  Place
	// Cancelled: its cancellation was asked for.
	Cancelled bool
}

// Job finds out where a job is and why. It searches all that is leased, delayed, waiting
// and dead, in this order, which takes about a second for a million tasks. ErrJobNotFound
// when nothing is known of it.
func (b *Broker) Job(ctx context.Context, jobID string) (JobInfo, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return JobInfo{}, err
	}
	result, err := b.result(ctx, jobID)
	if err != nil {
		return JobInfo{}, err
	}
	state, err := b.State(ctx, jobID, []string{fieldStatus})
	if err != nil && !errors.Is(err, ErrJobNotFound) {
		return JobInfo{}, err
	}
	isKnown := err == nil || result != nil
	info := JobInfo{Status: state.Status, Result: result}
	if result != nil {
		info.Status = result.Status
	}
	find := b.findAgain
	if result != nil {
		find = func(ctx context.Context, jobID string) ([]Place, error) { return b.places(ctx, jobID, true) }
	}
	places, err := find(ctx, jobID)
	if err != nil {
		return JobInfo{}, err
	}
	if !isKnown && len(places) == 0 {
		return JobInfo{}, ErrJobNotFound
	}
	for i, p := range places {
		if i == 0 || p.Where == WhereLeased && info.Place.Where != WhereLeased {
			info.Place = p
		}
	}
	cancelled, err := b.cancelledAt(ctx, jobID)
	info.Cancelled = !cancelled.IsZero() && !cancelled.Before(info.Place.PublishedAt)
	return info, err
}

// cancelledAt is when a job was cancelled last; zero when it was not. Tasks that were published
// until then are not delivered.
func (b *Broker) cancelledAt(ctx context.Context, jobID string) (time.Time, error) {
	at, err := b.client.commands.ZScore(ctx, b.keys.cancelledJobs(), jobID).Result()
	if errors.Is(err, goredis.Nil) {
		return time.Time{}, nil
	}
	return time.UnixMilli(int64(at)), translate("find job", err, repeatable)
}

// result is a job's terminal event, the first one; nil when there is none. It walks as the
// scripts do (lua/record.lua), from where they came to.
func (b *Broker) result(ctx context.Context, jobID string) (*Event, error) {
	key := b.keys.completion(jobID)
	pipe := b.client.commands.Pipeline()
	scan, length := pipe.Get(ctx, b.keys.scan(jobID)), pipe.XLen(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return nil, translate("read events", err, repeatable)
	}
	if length.Val() == 0 {
		return nil, nil
	}
	from := "-"
	if place := strings.Fields(scan.Val()); len(place) == 3 {
		if n, err := number(place[1]); err == nil && n <= length.Val() {
			from = cursorAfter(place[0])
		}
	}
	var found *Event
	err := b.eachEntry(ctx, key, from, func(entry goredis.XMessage) bool {
		if event := decodeEvent(jobID, entry.ID, textFields(entry.Values)); event.Status.Terminal() {
			found = &event
		}
		return found == nil
	})
	return found, err
}

// findAgain is places for a job of which nothing else is known. It looks twice: a task that was
// given back may have gone from where it was not looked for yet to where it was.
func (b *Broker) findAgain(ctx context.Context, jobID string) ([]Place, error) {
	places, err := b.places(ctx, jobID, true)
	if err != nil || len(places) > 0 {
		return places, err
	}
	return b.places(ctx, jobID, true)
}

// places finds the tasks of a job: those that are delayed or leased, and, if deep, those
// that wait or are dead. It looks in the order in which tasks move on, so that none that
// moves meanwhile is missed. A queue whose key holds something else is left out.
func (b *Broker) places(ctx context.Context, jobID string, deep bool) ([]Place, error) {
	queues, err := b.queueNames(ctx)
	if err != nil {
		return nil, err
	}
	ways := []func(context.Context, string, string) ([]Place, error){b.findDelayed, b.findLeased}
	if deep {
		ways = []func(context.Context, string, string) ([]Place, error){b.findDelayed, b.findInBacklog, b.findWaiting, b.findLeased, b.findDead}
	}
	var found []Place
	for _, way := range ways {
		for _, queue := range queues {
			places, err := way(ctx, queue, jobID)
			if errors.Is(err, ErrKeyType) {
				b.log.Warn("a queue's key holds another type", "queue", queue)
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, p := range places {
				p.Queue = queue
				i := slices.IndexFunc(found, func(f Place) bool { return f.EntryID != "" && f.EntryID == p.EntryID && f.Queue == queue })
				switch {
				case i < 0:
					found = append(found, p)
				case p.Where == WhereLeased: // by one group, while it waits for another
					found[i] = p
				}
			}
		}
	}
	return found, nil
}

// placeOf is an entry as a place; false when it is no task.
func placeOf(where Where, id string, fields map[string]string) (Place, bool) {
	task, m, err := decodeEntry(fields)
	p := Place{Where: where, EntryID: id, Attempts: m.attempts, Failures: m.failures, PublishedAt: m.publishedAt, Task: task,
		Reason: fields["argus_reason"], Cause: fields["argus_cause"]}
	if p.PublishedAt.IsZero() {
		p.PublishedAt = entryTime(id)
	}
	return p, err == nil
}

// entryTime is when an entry was appended, zero when its id doesn't say.
func entryTime(id string) time.Time {
	ms, _, ok := splitCursor(id)
	if !ok || ms > maxTime*1000 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

func (b *Broker) findLeased(ctx context.Context, queue, jobID string) ([]Place, error) {
	groups, err := b.groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	var found []Place
	for _, group := range groups {
		for after := ""; group.Pending > 0; {
			pending, err := b.Pending(ctx, queue, group.Name, after, MaxBatch)
			if err != nil {
				return nil, err
			}
			for _, p := range pending {
				if p.Task.JobID == jobID {
					found = append(found, p.Place)
				}
			}
			if len(pending) < MaxBatch {
				break
			}
			after = pending[len(pending)-1].EntryID
		}
	}
	return found, nil
}

func (b *Broker) findDelayed(ctx context.Context, queue, jobID string) ([]Place, error) {
	return b.findMembers(ctx, WhereDelayed, queue, jobID)
}

func (b *Broker) findInBacklog(ctx context.Context, queue, jobID string) ([]Place, error) {
	return b.findMembers(ctx, WhereWaiting, queue, jobID)
}

// findMembers looks for a job's tasks in a sorted set.
func (b *Broker) findMembers(ctx context.Context, where Where, queue, jobID string) (found []Place, err error) {
	err = b.eachMember(ctx, Place{Where: where, Queue: queue}.set(b.keys), func(member string, score float64) bool {
		if !strings.Contains(member, jobID) && !strings.Contains(member, `\`) { // in JSON it may be escaped
			return true
		}
		if p, ok := memberPlace(where, member); ok && p.Task.JobID == jobID {
			if where == WhereDelayed {
				p.DueAt = time.UnixMilli(int64(score))
			}
			found = append(found, p)
		}
		return true
	})
	return found, err
}

// unpack reads what the scripts' pack wrote: "3:abc0:2:xy".
func unpack(s string) ([]string, bool) {
	var list []string
	for s != "" {
		length, rest, ok := strings.Cut(s, ":")
		n, err := strconv.Atoi(length)
		if !ok || err != nil || n < 0 || n > len(rest) {
			return nil, false
		}
		list, s = append(list, rest[:n]), rest[n:]
	}
	return list, len(list) > 0
}

// unpackBacklog reads a member of a fair queue's backlog: lua/fair.lua.
func unpackBacklog(member string) ([]string, bool) {
	length, rest, ok := strings.Cut(member, ":")
	n, err := strconv.Atoi(length)
	const sequence = 1 + 14
	if !ok || err != nil || n < 0 || len(rest) < n+sequence {
		return nil, false
	}
	return unpack(rest[n+sequence:])
}

// findWaiting finds the tasks of a job that some consumer group has still to read. What all
// groups have read is leased, or a raw peer has acknowledged it and left it there.
func (b *Broker) findWaiting(ctx context.Context, queue, jobID string) ([]Place, error) {
	groups, err := b.groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	return b.search(ctx, WhereWaiting, b.keys.tasks(queue), b.undeliveredFrom(groups), jobID)
}

func (b *Broker) findDead(ctx context.Context, queue, jobID string) ([]Place, error) {
	return b.search(ctx, WhereDead, b.keys.deadLetters(queue), "-", jobID)
}

// search looks for a job's entries in a stream, from one on.
func (b *Broker) search(ctx context.Context, where Where, stream, from, jobID string) (found []Place, err error) {
	err = b.eachEntry(ctx, stream, from, func(entry goredis.XMessage) bool {
		if p, ok := placeOf(where, entry.ID, textFields(entry.Values)); ok && p.Task.JobID == jobID {
			found = append(found, p)
		}
		return true
	})
	return found, err
}

func textFields(values map[string]any) map[string]string {
	fields := make(map[string]string, len(values))
	for name, value := range values {
		fields[name], _ = value.(string)
	}
	return fields
}

// queueNames lists the known queues and those of the settings.
func (b *Broker) queueNames(ctx context.Context) ([]string, error) {
	names, err := b.client.commands.SMembers(ctx, b.keys.queues()).Result()
	if err != nil {
		return nil, translate("list queues", err, repeatable)
	}
	names = append(names, b.config.DefaultQueue)
	for name := range b.config.Queues {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
