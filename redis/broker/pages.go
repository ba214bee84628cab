package broker

import (
	"strconv"
	"strings"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// shardSeparator separates the number of a shard from a name within it.
const shardSeparator = ":"

// inShard makes a shard's name of something unique in the tenant. A tenant without numbered shards has
// plain names.
func (s *shardSet) inShard(i int, name string) string {
	if !s.isNumbered {
		return name
	}
	return strconv.Itoa(i) + shardSeparator + name
}

// parseInShard reverses inShard.
func (s *shardSet) parseInShard(name string) (shard int, inner string, ok bool) {
	if !s.isNumbered {
		return 0, name, true
	}
	number, inner, ok := strings.Cut(name, shardSeparator)
	i, err := strconv.Atoi(number)
	return i, inner, ok && err == nil && i >= 0 && i < len(s.shards)
}

// pages lists a page of all shards, one after the other. list returns a page of a shard after a token,
// and the token to continue with, "" at the shard's end; name makes an item's cursor that of all
// shards. ErrPageToken for any other token.
func pages[T any](set *shardSet, after string, count int, list func(s *shard, after string, count int) ([]T, string, error), name func(*T, int)) (all []T, next string, err error) {
	i, inner := 0, ""
	if after != "" {
		var ok bool
		if i, inner, ok = set.parseInShard(after); !ok {
			return nil, "", job.ErrPageToken
		}
	}
	for ; i < len(set.shards); i, inner = i+1, "" {
		part, more, err := list(set.shards[i], inner, count-len(all))
		if err != nil {
			return nil, "", err
		}
		for n := range part {
			name(&part[n], i)
		}
		if all = append(all, part...); more != "" {
			return all, set.inShard(i, more), nil
		}
		if len(all) >= count && i+1 < len(set.shards) {
			return all, set.inShard(i+1, ""), nil
		}
	}
	return all, "", nil
}

// nextOfFull is the token after a page that is full, else "": then the list has ended.
func nextOfFull[T any](list []T, count int, cursor func(T) string) string {
	if len(list) < count || len(list) == 0 {
		return ""
	}
	return cursor(list[len(list)-1])
}
