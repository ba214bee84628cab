package redis

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is a Lua script; its file says what it takes and returns.
type script struct {
	name   string
	source string
	sha    string
}

var (
	publishScript = load("known", "groups", "requests", "publish")
	// fairPublishScript is the same for fair queues.
	fairPublishScript = load("fair", "known", "groups", "requests", "publish")
	// publishEachScript and completeScript are shared by concurrent calls.
	publishEachScript = &script{name: "publish", source: file("publish_each"), sha: goredis.NewScript(file("publish_each")).Hash()}
	readScript        = load("fair", "groups", "read")
	ackScript         = load("ack")
	releaseScript     = load("release")
	moveScript        = load("fair", "move")
	extendScript      = load("limits", "extend")
	stateScript       = load("limits", "state")
	getScript         = load("limits", "get")
	healScript        = load("heal")
	redriveScript     = load("fair", "redrive")
	trimScript        = load("trim")
	leaveScript       = load("leave")
	claimScript       = load("requests", "claim")
	forgetScript      = load("forget")
	groupScript       = load("known", "groups", "group")
	knowScript        = load("known", "know")
	completeScript    = load("limits", "record", "complete")
	nackScript        = load("fair", "limits", "record", "nack")
	cancelScript      = load("limits", "record", "cancel")
	dropScript        = load("limits", "record", "drop")
)

// load makes a script of files of which the last names it; the prelude comes first.
func load(names ...string) *script {
	source := file("prelude")
	for _, name := range names {
		source += file(name)
	}
	return &script{name: names[len(names)-1], source: source, sha: goredis.NewScript(source).Hash()}
}

func file(name string) string {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // a file that was there when this was compiled
	}
	return string(text)
}

// run runs a script by its hash; where Redis does not know it yet, by its text. A
// NOSCRIPT means that nothing was executed. e says what running it twice would do.
func (s *script) run(ctx context.Context, c *Client, e effect, keys []string, args ...any) (any, error) {
	command := make([]any, 0, 3+len(keys)+len(args))
	command = append(command, "evalsha", s.sha, len(keys))
	for _, key := range keys {
		command = append(command, key)
	}
	command = append(command, args...)
	reply, err := c.do(ctx, command...)
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		command[0], command[1] = "eval", s.source
		reply, err = c.do(ctx, command...)
	}
	return reply, translate(s.name, err, e)
}

// strings runs a script that returns a list of strings.
func (s *script) strings(ctx context.Context, c *Client, e effect, keys []string, args ...any) ([]string, error) {
	reply, err := s.run(ctx, c, e, keys, args...)
	if err != nil {
		return nil, err
	}
	return stringList(reply)
}

// word runs a script that returns one string.
func (s *script) word(ctx context.Context, c *Client, e effect, keys []string, args ...any) (string, error) {
	reply, err := s.run(ctx, c, e, keys, args...)
	if err != nil {
		return "", err
	}
	word, ok := reply.(string)
	if !ok {
		return "", fmt.Errorf("%s: unexpected reply %T", s.name, reply)
	}
	return word, nil
}

func stringList(reply any) ([]string, error) {
	items, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("unexpected reply %T, want a list", reply)
	}
	list := make([]string, len(items))
	for i, item := range items {
		if list[i], ok = item.(string); !ok {
			return nil, fmt.Errorf("unexpected %T in a reply, want a string", item)
		}
	}
	return list, nil
}

func number(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
