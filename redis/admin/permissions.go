package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// EvictionPolicy is Redis's maxmemory-policy, "" when Redis does not report one. Under an allkeys
// policy a full Redis deletes whole queues; under a volatile one what has a TTL, such as
// states, results, dead letters and request ids.
func EvictionPolicy(ctx context.Context, client *redis.Client) (string, error) {
	c := client.Conn()
	node, err := c.Node(ctx)
	if err != nil {
		return "", err
	}
	// CONFIG GET would need a permission that also shows Redis's password.
	info, err := node.Info(ctx, "memory").Result()
	if err != nil {
		return "", conn.Translate("read the eviction policy", err, conn.Repeatable)
	}
	for line := range strings.Lines(info) {
		if policy, ok := strings.CutPrefix(line, "maxmemory_policy:"); ok {
			return strings.TrimSpace(policy), nil
		}
	}
	return "", nil
}

// An ACL that lacks one command fails a script between two of its writes, which leaves a job's
// state without its event. So the permissions are checked at start, by queueing
// each command in a transaction that is then dropped: Redis checks permissions when it queues
// a command, and executes nothing.

// grant is a command as an ACL rule names it, and a form of it that can be queued, where K is a
// key.
type grant struct {
	name    string
	command string
}

// required are the commands without which some call of the service fails.
var required = []grant{
	{"ping", "ping"}, {"time", "time"}, {"multi", ""}, {"exec", ""}, {"eval", "eval return 0"}, {"evalsha", "evalsha 0 0"},
	{"exists", "exists K"}, {"del", "del K"}, {"copy", "copy K K"}, {"rename", "rename K K"}, {"pexpire", "pexpire K 1"}, {"pttl", "pttl K"},
	{"get", "get K"}, {"set", "set K x"},
	{"hset", "hset K f v"}, {"hsetnx", "hsetnx K f v"}, {"hget", "hget K f"}, {"hmget", "hmget K f"}, {"hgetall", "hgetall K"},
	{"hdel", "hdel K f"}, {"hexists", "hexists K f"}, {"hincrby", "hincrby K f 1"}, {"hkeys", "hkeys K"}, {"hlen", "hlen K"},
	{"hscan", "hscan K 0"}, {"hstrlen", "hstrlen K f"},
	{"sadd", "sadd K m"}, {"srem", "srem K m"}, {"scard", "scard K"}, {"smembers", "smembers K"}, {"sismember", "sismember K m"},
	{"zadd", "zadd K 1 m"}, {"zrem", "zrem K m"}, {"zscore", "zscore K m"}, {"zmscore", "zmscore K m"}, {"zcard", "zcard K"}, {"zscan", "zscan K 0"},
	{"zrange", "zrange K 0 0"}, {"zrangebyscore", "zrangebyscore K 0 0"}, {"zrangebylex", "zrangebylex K - +"},
	{"zlexcount", "zlexcount K - +"}, {"zremrangebyscore", "zremrangebyscore K 0 0"},
	{"xadd", "xadd K * f v"}, {"xack", "xack K g 0-1"}, {"xdel", "xdel K 0-1"}, {"xlen", "xlen K"}, {"xrange", "xrange K - +"},
	{"xrevrange", "xrevrange K + -"}, {"xread", "xread STREAMS K 0"}, {"xreadgroup", "xreadgroup GROUP g c STREAMS K >"},
	{"xtrim", "xtrim K MINID 0"}, {"xclaim", "xclaim K g c 0 0-1"}, {"xpending", "xpending K g"},
	{"xinfo|groups", "xinfo groups K"}, {"xinfo|consumers", "xinfo consumers K"},
	{"xgroup|create", "xgroup create K g 0"}, {"xgroup|destroy", "xgroup destroy K g"}, {"xgroup|createconsumer", "xgroup createconsumer K g c"}, {"xgroup|delconsumer", "xgroup delconsumer K g c"},
}

// optional are the commands that the service can do without, and what is then missing.
var optional = []struct {
	grant
	without string
}{
	{grant{"publish", "publish C x"}, "raw workers are not asked to stop when their job is cancelled"},
	{grant{"client|tracking", "client tracking on"}, "what others write is found by polling, later and at a higher cost"},
	{grant{"memory|usage", "memory usage K"}, "large states are measured field by field"},
	{grant{"scan", "scan 0"}, "jobs can't be listed, and what raw peers leave without a TTL stays"},
	{grant{"info", "info memory"}, "an eviction policy that deletes queues or results is not warned of"},
}

// Permissions are what the ACL of Redis denies to the client's user, as rules that would grant
// it: "+xadd", "~argus:*", "&argus:argus_cancel:*".
type Permissions struct {
	// Missing are rules without which calls fail, some after their first writes.
	Missing []string
	// Optional are rules that the service can do without, each with what is then missing.
	Optional map[string]string
}

// CheckPermissions finds out what a broker with this config needs and the ACL of Redis denies to the client's
// user. It executes nothing. It fails when it can't find out.
func CheckPermissions(ctx context.Context, client *redis.Client, config job.Settings) (Permissions, error) {
	c := client.Conn()
	config, err := config.WithDefaults()
	if err != nil {
		return Permissions{}, err
	}
	if c.Config.Shards == 0 {
		return permissionsOf(ctx, c, config)
	}
	all := Permissions{Optional: make(map[string]string)}
	for i := range c.Config.Shards { // each may lie on a node with other users
		p, err := permissionsOf(ctx, c.Shard(i), config)
		if err != nil {
			return Permissions{}, err
		}
		all.Missing = append(all.Missing, p.Missing...)
		for rule, without := range p.Optional {
			all.Optional[rule] = without
		}
	}
	slices.Sort(all.Missing)
	all.Missing = slices.Compact(all.Missing)
	return all, nil
}

// permissionsOf finds out what the ACL denies on the node of one prefix.
func permissionsOf(ctx context.Context, c *conn.Conn, config job.Settings) (Permissions, error) {
	p, err := queuedPermissions(ctx, c, config)
	return p, conn.Translate("check permissions", err, conn.Repeatable)
}

// queuedPermissions queues the commands in a transaction that is dropped at the end.
func queuedPermissions(ctx context.Context, c *conn.Conn, config job.Settings) (Permissions, error) {
	p := Permissions{Optional: make(map[string]string)}
	n, err := c.Connect(ctx)
	if err != nil {
		return Permissions{}, err
	}
	defer n.Close() // drops the transaction
	if err := n.Must(ctx, resp.Command{"multi"}); isDenied(err) {
		p.Missing = append(p.Missing, "+multi")
		return p, nil // without a transaction the commands would be executed
	} else if err != nil {
		return Permissions{}, err
	}
	needed, families := neededGrants(config), c.Keys.Families(config)
	refusals, err := n.Send(ctx, permissionCommands(c.Keys, needed, families)...)
	if err != nil {
		return Permissions{}, err
	}
	p.addRequired(refusals[:len(needed)], needed, "~"+c.Keys.Prefix+"*")
	refusals = refusals[len(needed):]
	p.addOptional(refusals[:len(optional)], "&"+c.Keys.CancelChannel(job.AnyName))
	if !slices.Contains(p.Missing, "~"+c.Keys.Prefix+"*") {
		p.addFamilies(refusals[len(optional):], families)
	}
	denied, err := deniesExec(ctx, n)
	if denied {
		p.Missing = append(p.Missing, "+exec")
	}
	return p, err
}

// neededGrants are the required commands that can be queued.
func neededGrants(config job.Settings) []grant {
	needed := slices.DeleteFunc(slices.Clone(required), func(g grant) bool { return g.command == "" })
	if config.WaitsForReplicas() {
		needed = append(needed, grant{"wait", "wait 0 1"})
	}
	return needed
}

// permissionCommands are the commands to queue: one for each needed and each optional one, and two for each family
// of keys, to read and to write.
func permissionCommands(keys job.Keys, needed []grant, families []string) []resp.Command {
	var commands []resp.Command
	for _, g := range needed {
		commands = append(commands, g.words(keys.Tenant().Scratch(), ""))
	}
	for _, o := range optional {
		commands = append(commands, o.words(keys.Tenant().Scratch(), keys.CancelChannel(job.AnyName)))
	}
	for _, family := range families {
		commands = append(commands, resp.Command{"get", family}, resp.Command{"del", family})
	}
	return commands
}

// addRequired adds the rules that needed commands lack. pattern is the rule for all keys of the prefix.
func (p *Permissions) addRequired(refusals []error, needed []grant, pattern string) {
	for i, g := range needed {
		switch refused := refusals[i]; {
		case isDenied(refused) && !isKeyDenial(refused):
			p.Missing = append(p.Missing, "+"+g.name)
		case isDenied(refused) && !slices.Contains(p.Missing, pattern):
			p.Missing = append(p.Missing, pattern)
		}
	}
}

// addOptional adds the rules that optional commands lack. channel is the rule for the channels.
func (p *Permissions) addOptional(refusals []error, channel string) {
	for i, o := range optional {
		switch refused := refusals[i]; {
		case isDenied(refused) && isChannelDenial(refused):
			p.Optional[channel] = o.without
		case isDenied(refused) && !isKeyDenial(refused):
			p.Optional["+"+o.name] = o.without
		}
	}
}

// addFamilies adds the rules for families of keys that can't be read or written.
func (p *Permissions) addFamilies(refusals []error, families []string) {
	for i, family := range families {
		if isKeyDenial(refusals[2*i]) || isKeyDenial(refusals[2*i+1]) {
			p.Missing = append(p.Missing, "~"+family)
		}
	}
}

// deniesExec reports whether EXEC is denied. A command that can't be queued makes Redis drop
// the transaction instead of executing it.
func deniesExec(ctx context.Context, n *conn.Connection) (bool, error) {
	refusals, err := n.Send(ctx, resp.Command{"get"}, resp.Command{"exec"})
	if err != nil {
		return false, err
	}
	return isDenied(refusals[1]), nil
}

// words are a command to queue, on a key and a channel.
func (g grant) words(key, channel string) resp.Command {
	if g.name == "eval" || g.name == "evalsha" {
		name, script, _ := strings.Cut(g.command, " ")
		return resp.Command{name, script, "1", key}
	}
	w := resp.Command(strings.Fields(g.command))
	for i := range w {
		switch w[i] {
		case "K":
			w[i] = key
		case "C":
			w[i] = channel
		}
	}
	return w
}

func isDenied(err error) bool { return err != nil && conn.IsDenial(err.Error()) }

func isKeyDenial(err error) bool { return isDenied(err) && strings.Contains(err.Error(), " key") }

func isChannelDenial(err error) bool {
	return isDenied(err) && strings.Contains(err.Error(), " channel")
}

// Err is an ErrNotPermitted that lists the missing rules, nil when none is missing.
func (p Permissions) Err() error {
	if len(p.Missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: it lacks %s; grant them with ACL SETUSER (docs/operations.md has the whole list)", job.ErrNotPermitted, strings.Join(p.Missing, " "))
}
