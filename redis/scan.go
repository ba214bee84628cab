package redis

import (
	"cmp"
	"context"
	"hash/maphash"
	"strconv"

	goredis "github.com/redis/go-redis/v9"
)

// Large streams and sorted sets are read in pages of a bounded size.

// pageSize is how much a search reads at once: many small entries, or few large ones. What
// the next ones weigh is not known, so it begins with few and grows slowly.
type pageSize struct {
	n     int64
	bytes int
}

// The bounds of a page; it aims at pageBytes.
const (
	minPage   = 2
	maxPage   = 1000
	pageBytes = 1 << 20
)

// next is the size of the next page.
func (p *pageSize) next() int64 {
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

// read notes how large an entry of the page was.
func (p *pageSize) read(bytes int) { p.bytes += bytes }

// eachEntry calls visit for the entries that a stream has now, after an entry or from the
// first ("-"), until it returns false.
func (b *Broker) eachEntry(ctx context.Context, stream, from string, visit func(goredis.XMessage) bool) error {
	return b.eachEntryIn(ctx, stream, from, "", visit)
}

// eachEntryIn is eachEntry for the entries from one to another, "" for the last that there is
// now.
func (b *Broker) eachEntryIn(ctx context.Context, stream, from, to string, visit func(goredis.XMessage) bool) error {
	var page pageSize
	for {
		n := page.next()
		entries, err := b.client.commands.XRangeN(ctx, stream, from, cmp.Or(to, "+"), n).Result()
		if err != nil {
			return translate("read stream", err, repeatable)
		}
		for _, entry := range entries {
			for _, value := range entry.Values {
				text, _ := value.(string)
				page.read(len(text))
			}
			if !visit(entry) {
				return nil
			}
		}
		if int64(len(entries)) < n {
			return nil
		}
		if to == "" { // what comes later than this is not looked for
			last, err := b.client.commands.XRevRangeN(ctx, stream, "+", "-", 1).Result()
			if err != nil || len(last) == 0 {
				return translate("read stream", err, repeatable)
			}
			to = last[0].ID
		}
		if from = cursorAfter(entries[len(entries)-1].ID); cursorLess(to, from) {
			return nil
		}
	}
}

// eachMember calls visit for the members of a sorted set until it returns false. ZSCAN gives
// each member that is there all the while, though others come and go; a page by rank would skip
// some when members before it go.
func (b *Broker) eachMember(ctx context.Context, key string, visit func(member string, score float64) bool) error {
	count, err := b.scanSize(ctx, key)
	if err != nil {
		return err
	}
	seen, seed := make(map[uint64]bool), maphash.MakeSeed() // not the members, which may be large
	for cursor := uint64(0); ; {
		list, next, err := b.client.commands.ZScan(ctx, key, cursor, "", count).Result()
		if err != nil {
			return translate("search "+key, err, repeatable)
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

// scanSize is how many members of a sorted set a scan looks at in one call: as many as have
// about pageBytes, by a sample of them.
func (b *Broker) scanSize(ctx context.Context, key string) (int64, error) {
	pipe := b.client.commands.Pipeline()
	members, memory := pipe.ZCard(ctx, key), pipe.MemoryUsage(ctx, key)
	_, _ = pipe.Exec(ctx) // an ACL may forbid the second, and the embedded store has none
	if err := members.Err(); err != nil {
		return 0, translate("search "+key, err, repeatable)
	}
	if memory.Val() == 0 {
		return maxPage, nil
	}
	return min(maxPage, max(minPage, pageBytes*members.Val()/memory.Val())), nil
}
