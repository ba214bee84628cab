package conn

import (
	"cmp"
	"embed"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// The scripts. Their files say which keys and arguments they take, and what they return.
var (
	// PublishScript publishes tasks and creates the state of their jobs.
	PublishScript = load("known", "groups", "requests", "publish")
	// FairPublishScript is the same for fair queues.
	FairPublishScript = load("fair", "known", "groups", "requests", "publish")
	// PublishEachScript and CompleteScript are shared by concurrent calls.
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

// load returns the script that consists of the prelude and the named files; the last names it.
func load(names ...string) *Script {
	source := file("prelude")
	for _, name := range names {
		source += file(name)
	}
	return register(names[len(names)-1], source)
}

// scriptNames are the names of all scripts by their hashes.
var scriptNames = make(map[string]string)

// register returns a script with a name and a source.
func register(name, source string) *Script {
	s := &Script{Name: name, Source: source, SHA: goredis.NewScript(source).Hash()}
	scriptNames[s.SHA] = name
	return s
}

// ScriptName is the name of the script with a hash; "eval" for any other word.
func ScriptName(sha string) string { return cmp.Or(scriptNames[sha], "eval") }

// file returns a Lua file.
func file(name string) string {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // the files are embedded
	}
	return string(text)
}
