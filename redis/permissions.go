package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// An ACL that lacks one command fails a script between two of its writes, which leaves a job's
// state without its event. So what is needed is checked before anything is done, by queueing
// each command in a transaction that is then dropped: Redis checks permissions when it queues,
// and executes nothing.

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

// optional are the commands that the service can do without, and what then lacks.
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

// Permissions says what the ACL of Redis denies the client's user, as rules that would grant
// it: "+xadd", "~argus:*", "&argus:argus_cancel:*".
type Permissions struct {
	// Missing are rules without which calls fail, perhaps half-way.
	Missing []string
	// Optional are rules that the service can do without, each with what then lacks.
	Optional map[string]string
}

// anyName stands for a name in a key. It is none that CheckID accepts, so no caller's key is
// meant; and the key is what an ACL rule for the whole family looks like.
const anyName = "*"

// families are keys that stand for all that the service uses, for ACL rules.
func (k keys) families(config BrokerConfig) []string {
	families := []string{k.state(anyName), k.completion(anyName), k.scan(anyName), k.delayed(anyName), k.backlog(anyName),
		k.fairReady(anyName), k.fairParked(anyName), k.fairTags(anyName), k.fairHeld(anyName), k.deadLetters(anyName), k.parts(anyName),
		k.oldRequest(anyName), k.oldClaim(anyName), k.uncounted(anyName), k.groupBegins(anyName), k.createdGroups(anyName), k.paused(anyName), k.active(anyName),
		k.queues(), k.emptyQueues(), k.delayedQueues(), k.janitor(), k.shards(), k.cancelledJobs(), k.tasks(config.DefaultQueue)}
	for queue := range config.Queues {
		families = append(families, k.tasks(queue))
	}
	return families
}

// Permissions finds out what the ACL of Redis denies the client's user that a broker of this
// config needs. Nothing is executed. It fails when that can't be found out.
func (c *Client) Permissions(ctx context.Context, config BrokerConfig) (Permissions, error) {
	config, err := config.withDefaults()
	if err != nil {
		return Permissions{}, err
	}
	if c.config.Shards == 0 {
		return c.permissions(ctx, config)
	}
	all := Permissions{Optional: make(map[string]string)}
	for i := range c.config.Shards { // each may lie on a node with other users
		p, err := c.shard(i).permissions(ctx, config)
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

func (c *Client) permissions(ctx context.Context, config BrokerConfig) (Permissions, error) {
	fail := func(err error) (Permissions, error) {
		return Permissions{}, translate("check permissions", err, repeatable)
	}
	n, err := c.connect(ctx)
	if err != nil {
		return fail(err)
	}
	defer n.close() // drops the transaction
	p := Permissions{Optional: make(map[string]string)}
	if err := n.must(ctx, words{"multi"}); isDenied(err) {
		p.Missing = append(p.Missing, "+multi")
		return p, nil // without a transaction the commands would be executed
	} else if err != nil {
		return fail(err)
	}
	key := c.keys.scratch()
	needed := slices.DeleteFunc(slices.Clone(required), func(g grant) bool { return g.command == "" })
	if config.waitsForReplicas() {
		needed = append(needed, grant{"wait", "wait 0 1"})
	}
	var commands []words
	for _, g := range needed {
		commands = append(commands, g.words(key, ""))
	}
	for _, o := range optional {
		commands = append(commands, o.words(key, c.keys.cancelChannel(anyName)))
	}
	families := c.keys.families(config)
	for _, family := range families {
		commands = append(commands, words{"get", family}, words{"del", family}) // to read and to write
	}
	refusals, err := n.send(ctx, commands...)
	if err != nil {
		return fail(err)
	}
	pattern := "~" + c.keys.prefix + "*"
	for i, g := range needed {
		switch refused := refusals[i]; {
		case isDenied(refused) && !isKeyDenial(refused):
			p.Missing = append(p.Missing, "+"+g.name)
		case isDenied(refused) && !slices.Contains(p.Missing, pattern):
			p.Missing = append(p.Missing, pattern)
		}
	}
	refusals = refusals[len(needed):]
	for i, o := range optional {
		switch refused := refusals[i]; {
		case isDenied(refused) && isChannelDenial(refused):
			p.Optional["&"+c.keys.cancelChannel(anyName)] = o.without
		case isDenied(refused) && !isKeyDenial(refused):
			p.Optional["+"+o.name] = o.without
		}
	}
	refusals = refusals[len(optional):]
	if !slices.Contains(p.Missing, pattern) {
		for i, family := range families {
			if isKeyDenial(refusals[2*i]) || isKeyDenial(refusals[2*i+1]) {
				p.Missing = append(p.Missing, "~"+family)
			}
		}
	}
	if denied, err := n.deniesExec(ctx); err != nil {
		return fail(err)
	} else if denied {
		p.Missing = append(p.Missing, "+exec")
	}
	return p, nil
}

// deniesExec finds out whether EXEC is denied. A command that can't be queued sees to it that
// the transaction is dropped, not executed.
func (n *connection) deniesExec(ctx context.Context) (bool, error) {
	refusals, err := n.send(ctx, words{"get"}, words{"exec"})
	if err != nil {
		return false, err
	}
	return isDenied(refusals[1]), nil
}

func (g grant) words(key, channel string) words {
	if g.name == "eval" || g.name == "evalsha" {
		name, script, _ := strings.Cut(g.command, " ")
		return words{name, script, "1", key}
	}
	w := words(strings.Fields(g.command))
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

func isDenied(err error) bool { return err != nil && isDenial(err.Error()) }

func isKeyDenial(err error) bool { return isDenied(err) && strings.Contains(err.Error(), " key") }

func isChannelDenial(err error) bool {
	return isDenied(err) && strings.Contains(err.Error(), " channel")
}

// waitsForReplicas is true when some queue wants replicas to have what is written.
func (c BrokerConfig) waitsForReplicas() bool {
	for _, q := range c.Queues {
		if q.WaitReplicas > 0 {
			return true
		}
	}
	return c.Queue.WaitReplicas > 0
}

// Err says which rules are missing, nil when none is.
func (p Permissions) Err() error {
	if len(p.Missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: it lacks %s; grant them with ACL SETUSER (docs/operations.md has the whole list)", ErrNotPermitted, strings.Join(p.Missing, " "))
}
