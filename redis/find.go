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

	member string // of the delayed set
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
	if info.Place, err = b.find(ctx, jobID, true); err != nil {
		return JobInfo{}, err
	}
	err = b.client.commands.ZScore(ctx, b.keys.cancelledJobs(), jobID).Err()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return JobInfo{}, translate("find job", err, repeatable)
	}
	info.Cancelled = err == nil
	if !isKnown && info.Place.Where == WhereNowhere {
		return JobInfo{}, ErrJobNotFound
	}
	return info, nil
}

// result is a job's terminal event, nil when there is none.
func (b *Broker) result(ctx context.Context, jobID string) (*Event, error) {
	entries, err := b.client.commands.XRevRangeN(ctx, b.keys.completion(jobID), "+", "-", 10).Result()
	if err != nil {
		return nil, translate("read events", err, repeatable)
	}
	for _, entry := range entries {
		if event := decodeEvent(jobID, entry.ID, textFields(entry.Values)); event.Status.Terminal() {
			return &event, nil
		}
	}
	return nil, nil
}

// searchPage is how many entries one read of a search gets.
const searchPage = 200

// find looks for a job's task: among the leased and the delayed, and, if deep, among the
// dead and the waiting.
func (b *Broker) find(ctx context.Context, jobID string, deep bool) (Place, error) {
	queues, err := b.queueNames(ctx)
	if err != nil {
		return Place{}, err
	}
	ways := []func(context.Context, string, string) (Place, error){b.findLeased, b.findDelayed}
	if deep {
		ways = append(ways, b.findWaiting, b.findDead)
	}
	for _, way := range ways {
		for _, queue := range queues {
			place, err := way(ctx, queue, jobID)
			if err != nil || place.Where != WhereNowhere {
				place.Queue = queue
				return place, err
			}
		}
	}
	return Place{}, nil
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

func (b *Broker) findLeased(ctx context.Context, queue, jobID string) (Place, error) {
	groups, err := b.groups(ctx, queue)
	if err != nil {
		return Place{}, err
	}
	for _, group := range groups {
		for after := ""; group.Pending > 0; {
			pending, err := b.Pending(ctx, queue, group.Name, after, searchPage)
			if err != nil {
				return Place{}, err
			}
			for _, p := range pending {
				if p.Place.Task.JobID == jobID {
					return p.Place, nil
				}
			}
			if len(pending) < searchPage {
				break
			}
			after = pending[len(pending)-1].EntryID
		}
	}
	return Place{}, nil
}

func (b *Broker) findDelayed(ctx context.Context, queue, jobID string) (Place, error) {
	for from := int64(0); ; from += searchPage {
		members, err := b.client.commands.ZRangeWithScores(ctx, b.keys.delayed(queue), from, from+searchPage-1).Result()
		if err != nil {
			return Place{}, translate("read delayed tasks", err, repeatable)
		}
		for _, m := range members {
			text, _ := m.Member.(string)
			if !strings.Contains(text, jobID) {
				continue
			}
			fields, ok := unpack(text)
			if !ok {
				continue
			}
			if p, ok := placeOf(WhereDelayed, "", entryFields(fields[1:])); ok && p.Task.JobID == jobID {
				p.member, p.DueAt = text, time.UnixMilli(int64(m.Score))
				return p, nil
			}
		}
		if len(members) < searchPage {
			return Place{}, nil
		}
	}
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

func (b *Broker) findWaiting(ctx context.Context, queue, jobID string) (Place, error) {
	return b.search(ctx, WhereWaiting, b.keys.tasks(queue), jobID)
}

func (b *Broker) findDead(ctx context.Context, queue, jobID string) (Place, error) {
	return b.search(ctx, WhereDead, b.keys.deadLetters(queue), jobID)
}

// search looks for a job's entry in a stream.
func (b *Broker) search(ctx context.Context, where Where, stream, jobID string) (found Place, err error) {
	err = b.eachEntry(ctx, stream, func(entry goredis.XMessage) bool {
		p, ok := placeOf(where, entry.ID, textFields(entry.Values))
		if ok = ok && p.Task.JobID == jobID; ok {
			found = p
		}
		return !ok
	})
	return found, err
}

// eachEntry calls visit for the entries that a stream has now, until it returns false.
func (b *Broker) eachEntry(ctx context.Context, stream string, visit func(goredis.XMessage) bool) error {
	last, err := b.client.commands.XRevRangeN(ctx, stream, "+", "-", 1).Result()
	if err != nil || len(last) == 0 {
		return translate("read stream", err, repeatable)
	}
	from := "-"
	for {
		entries, err := b.client.commands.XRangeN(ctx, stream, from, last[0].ID, searchPage).Result()
		if err != nil {
			return translate("read stream", err, repeatable)
		}
		for _, entry := range entries {
			if !visit(entry) {
				return nil
			}
		}
		if len(entries) < searchPage {
			return nil
		}
		from = cursorAfter(entries[len(entries)-1].ID)
	}
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
