package conn

import (
	"context"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// CountingGroups leaves out the default group where no consumer has ever read with it and
// others have consumers: there it is only a place for raw workers to start from. See
// counting_groups in lua/prelude.lua.
func (s *Shard) CountingGroups(groups []job.GroupInfo) []job.GroupInfo {
	isUnused := func(g job.GroupInfo) bool {
		return g.Name == s.Settings.DefaultGroup && g.Consumers == 0 && g.LastDelivered == job.FirstCursor
	}
	if !slices.ContainsFunc(groups, func(g job.GroupInfo) bool { return g.Consumers > 0 }) {
		return groups
	}
	return slices.DeleteFunc(slices.Clone(groups), isUnused)
}

// UndeliveredFrom returns the id from which on some group has not read a stream's entries.
func (s *Shard) UndeliveredFrom(groups []job.GroupInfo) string {
	from := ""
	for _, g := range s.CountingGroups(groups) {
		if from == "" || job.CursorLess(g.LastDelivered, from) {
			from = g.LastDelivered
		}
	}
	if from == "" {
		return "-"
	}
	return job.CursorAfter(from)
}

// Groups lists a queue's consumer groups; none when there is no stream.
func (s *Shard) Groups(ctx context.Context, queue string) ([]job.GroupInfo, error) {
	groups, err := GroupInfos(s.Commands.XInfoGroups(ctx, s.Keys.Tasks(queue)))
	return groups, Translate("list groups", err, Repeatable)
}

// GroupInfos reads the reply of XINFO GROUPS.
func GroupInfos(reply *goredis.XInfoGroupsCmd) ([]job.GroupInfo, error) {
	list, err := reply.Result()
	if IsNoKey(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	groups := make([]job.GroupInfo, len(list))
	for i, g := range list {
		groups[i] = job.GroupInfo{Name: g.Name, Pending: g.Pending, Consumers: g.Consumers, LastDelivered: g.LastDeliveredID, Idle: -1}
		if g.LastDeliveredID == "" || g.LastDeliveredID == "0" { // miniredis
			groups[i].LastDelivered = job.FirstCursor
		}
	}
	return groups, nil
}

// IsNoKey reports whether XINFO failed because a stream or a group does not exist.
func IsNoKey(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "no such key") || strings.HasPrefix(err.Error(), "NOGROUP"))
}
