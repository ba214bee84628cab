package conn

import (
	"cmp"
	"context"
	"hash/maphash"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// ScanCount is how many keys one SCAN examines, ScanCalls how many SCANs make a page.
const (
	ScanCount = 1000
	ScanCalls = 10
)

// Large streams and sorted sets are read in pages of a bounded size.

// PageSize is how much a search reads at once: many small entries, or few large ones. The size of
// the next ones is not known, so it starts with few and grows slowly. The zero value is ready to use.
type PageSize struct {
	n     int64
	bytes int
}

// The bounds of a page; it aims at pageBytes.
const (
	minPage   = 2
	maxPage   = 1000
	pageBytes = 1 << 20
)

// Next returns the size of the next page.
func (p *PageSize) Next() int64 {
	switch {
	case p.n == 0:
		p.n = minPage
	case p.bytes < pageBytes/16:
		p.n = min(maxPage, p.n*8)
	case p.bytes < pageBytes/2:
		p.n = min(maxPage, p.n*2)
	case p.bytes > pageBytes:
		p.n = max(minPage, p.n/4)
	}
	p.bytes = 0
	return p.n
}

// Read records the size of an entry of the page.
func (p *PageSize) Read(bytes int) { p.bytes += bytes }

// EachEntry calls visit for the entries that a stream has now, after an entry or from the
// first ("-"), until it returns false.
func (s *Shard) EachEntry(ctx context.Context, stream, from string, visit func(goredis.XMessage) bool) error {
	return s.EachEntryIn(ctx, stream, from, "", visit)
}

// EachEntryIn is EachEntry for the entries from one to another, "" for the last that exists now.
func (s *Shard) EachEntryIn(ctx context.Context, stream, from, to string, visit func(goredis.XMessage) bool) error {
	var page PageSize
	for {
		n := page.Next()
		entries, err := s.Commands.XRangeN(ctx, stream, from, cmp.Or(to, "+"), n).Result()
		if err != nil {
			return Translate("read stream", err, Repeatable)
		}
		for _, entry := range entries {
			for _, value := range entry.Values {
				text, _ := value.(string)
				page.Read(len(text))
			}
			if !visit(entry) {
				return nil
			}
		}
		if int64(len(entries)) < n {
			return nil
		}
		if to == "" { // later entries are not visited
			last, err := s.Commands.XRevRangeN(ctx, stream, "+", "-", 1).Result()
			if err != nil || len(last) == 0 {
				return Translate("read stream", err, Repeatable)
			}
			to = last[0].ID
		}
		if from = job.CursorAfter(entries[len(entries)-1].ID); job.CursorLess(to, from) {
			return nil
		}
	}
}

// EachMember calls visit for the members of a sorted set until it returns false. ZSCAN returns each
// member that exists throughout, though others are added and removed; a page by rank would skip some
// when members before it are removed.
func (s *Shard) EachMember(ctx context.Context, key string, visit func(member string, score float64) bool) error {
	count, err := s.scanSize(ctx, key)
	if err != nil {
		return err
	}
	seen, seed := make(map[uint64]bool), maphash.MakeSeed() // not the members, which may be large
	for cursor := uint64(0); ; {
		list, next, err := s.Commands.ZScan(ctx, key, cursor, "", count).Result()
		if err != nil {
			return Translate("search "+key, err, Repeatable)
		}
		for i := 0; i+1 < len(list); i += 2 {
			member := list[i]
			score, err := strconv.ParseFloat(list[i+1], 64)
			hash := maphash.String(seed, member)
			if err != nil || seen[hash] {
				continue
			}
			seen[hash] = true
			if !visit(member, score) {
				return nil
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// scanSize is how many members of a sorted set one call of a scan examines: as many as take about
// pageBytes, by the average.
func (s *Shard) scanSize(ctx context.Context, key string) (int64, error) {
	pipe := s.Commands.Pipeline()
	members, memory := pipe.ZCard(ctx, key), pipe.MemoryUsage(ctx, key)
	_, _ = pipe.Exec(ctx) // an ACL may forbid the second, and the embedded store has none
	if err := members.Err(); err != nil {
		return 0, Translate("search "+key, err, Repeatable)
	}
	if memory.Val() == 0 {
		return maxPage, nil
	}
	return min(maxPage, max(minPage, pageBytes*members.Val()/memory.Val())), nil
}
