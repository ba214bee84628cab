package conn

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

func AppendStrings(args []any, list []string) []any {
	for _, s := range list {
		args = append(args, s)
	}
	return args
}

// Raw makes a command of words; they must stay as they are.
func Raw(ctx context.Context, w resp.Command) *goredis.RawCmd {
	args := make([]any, len(w))
	for i := range w {
		args[i] = &w[i]
	}
	return goredis.NewRawCmd(ctx, args...)
}

// Send runs a script as run does, and returns the reply as it is on the wire.
func (s *Script) Send(ctx context.Context, c *Conn, e Effect, keys []string, args resp.Command) (*resp.Reply, error) {
	return s.sendBy(ctx, c.raw, e, keys, args)
}

// sendBy is raw by a way to send a command.
func (s *Script) sendBy(ctx context.Context, send func(context.Context, resp.Command) (*resp.Reply, error), e Effect, keys []string, args resp.Command) (*resp.Reply, error) {
	w := make(resp.Command, 0, 3+len(keys)+len(args))
	w.Add("evalsha", s.SHA, strconv.Itoa(len(keys)))
	w.Add(keys...)
	w.Add(args...)
	r, err := send(ctx, w)
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		w[0], w[1] = "eval", s.Source
		r, err = send(ctx, w)
	}
	return r, Translate(s.Name, err, e)
}

// raw runs a command exactly as often as it is called.
func (c *Conn) raw(ctx context.Context, w resp.Command) (*resp.Reply, error) {
	cmd := Raw(ctx, w)
	if err := c.Batcher.Do(ctx, cmd); err != nil {
		return nil, err
	}
	return RawReply(cmd)
}

// RawReply takes a command's reply. An error reply is an error, as the driver has it.
func RawReply(cmd *goredis.RawCmd) (*resp.Reply, error) {
	raw, err := cmd.Result()
	if err != nil {
		return nil, err
	}
	return resp.Parse(unsafe.String(unsafe.SliceData(raw), len(raw))) // nobody else has raw
}

//go:embed lua/*.lua
var luaFiles embed.FS

// Script is a Lua script; its file says what it takes and returns.
type Script struct {
	Name   string
	Source string
	SHA    string
}

var (
	PublishScript = load("known", "groups", "requests", "publish")
	// FairPublishScript is the same for fair queues.
	FairPublishScript = load("fair", "known", "groups", "requests", "publish")
	// PublishEachScript and completeScript are shared by concurrent calls.
	PublishEachScript = register("publish", file("publish_each"))
	ReadScript        = load("fair", "groups", "read")
	AckScript         = load("ack")
	ReleaseScript     = load("release")
	MoveScript        = load("fair", "move")
	ExtendScript      = load("limits", "extend")
	StateScript       = load("limits", "state")
	GetScript         = load("limits", "get")
	HealScript        = load("heal")
	RedriveScript     = load("fair", "redrive")
	TrimScript        = load("trim")
	LeaveScript       = load("leave")
	ClaimScript       = load("requests", "claim")
	ForgetScript      = load("forget")
	GroupScript       = load("known", "groups", "group")
	KnowScript        = load("known", "know")
	CompleteScript    = load("limits", "record", "complete")
	NackScript        = load("fair", "limits", "record", "nack")
	CancelScript      = load("limits", "record", "cancel")
	DropScript        = load("limits", "record", "drop")
)

// load makes a script of files of which the last names it; the prelude comes first.
func load(names ...string) *Script {
	source := file("prelude")
	for _, name := range names {
		source += file(name)
	}
	return register(names[len(names)-1], source)
}

// scriptNames are the names of all scripts by their hashes.
var scriptNames = make(map[string]string)

func register(name, source string) *Script {
	s := &Script{Name: name, Source: source, SHA: goredis.NewScript(source).Hash()}
	scriptNames[s.SHA] = name
	return s
}

// ScriptName is the name of the script with a hash; "eval" if it is none, but a text.
func ScriptName(sha string) string { return cmp.Or(scriptNames[sha], "eval") }

func file(name string) string {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // a file that was there when this was compiled
	}
	return string(text)
}

// Run runs a script by its hash; where Redis does not know it yet, by its text. A
// NOSCRIPT means that nothing was executed. e says what running it twice would do.
func (s *Script) Run(ctx context.Context, c *Conn, e Effect, keys []string, args ...any) (any, error) {
	command := make([]any, 0, 3+len(keys)+len(args))
	command = append(command, "evalsha", s.SHA, len(keys))
	for _, key := range keys {
		command = append(command, key)
	}
	command = append(command, args...)
	reply, err := c.Do(ctx, command...)
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		command[0], command[1] = "eval", s.Source
		reply, err = c.Do(ctx, command...)
	}
	return reply, Translate(s.Name, err, e)
}

// Strings runs a script that returns a list of strings.
func (s *Script) Strings(ctx context.Context, c *Conn, e Effect, keys []string, args ...any) ([]string, error) {
	reply, err := s.Run(ctx, c, e, keys, args...)
	if err != nil {
		return nil, err
	}
	return resp.StringList(reply)
}

// Word runs a script that returns one string.
func (s *Script) Word(ctx context.Context, c *Conn, e Effect, keys []string, args ...any) (string, error) {
	reply, err := s.Run(ctx, c, e, keys, args...)
	if err != nil {
		return "", err
	}
	word, ok := reply.(string)
	if !ok {
		return "", fmt.Errorf("%s: unexpected reply %T", s.Name, reply)
	}
	return word, nil
}

// SendDurably runs a script as raw does, and waits for the replicas that the queue wants. When
// they are too few, the call fails like one whose answer was lost: ErrUnavailable, or
// ErrOutcomeUnknown if it can't be repeated.
func (s *Script) SendDurably(ctx context.Context, c *Conn, e Effect, queue job.QueueSettings, keys []string, args resp.Command) (*resp.Reply, error) {
	if queue.WaitReplicas == 0 {
		return s.Send(ctx, c, e, keys, args)
	}
	return s.sendBy(ctx, func(ctx context.Context, w resp.Command) (*resp.Reply, error) { return c.replicated(ctx, queue, w) }, e, keys, args)
}
