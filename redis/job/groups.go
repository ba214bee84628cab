package job

import (
	"fmt"
	"strings"
	"time"
)

// MaxGroups is how many consumer groups a queue may have, beyond those that raw peers create:
// every settle looks at all of them.
const MaxGroups = 16

// AnyGroup, as the only one of Groups, lets a reader create the group that it names.
const AnyGroup = "any"

// Groups are names of consumer groups, or AnyGroup.
type Groups []string

// UnmarshalYAML reads a list, or one name.
func (g *Groups) UnmarshalYAML(unmarshal func(any) error) error {
	var list []string
	if err := unmarshal(&list); err == nil {
		*g = list
		return nil
	}
	var name string
	if err := unmarshal(&name); err != nil {
		return err
	}
	*g = Groups{name}
	return nil
}

func (g Groups) validate(field string) error {
	if len(g) >= MaxGroups {
		return Invalid(field, "has %d entries, at most %d are allowed", len(g), MaxGroups-1)
	}
	for i, name := range g {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := CheckID(at, name); err != nil {
			return err
		}
		if name == AnyGroup && len(g) > 1 {
			return Invalid(at, "%q allows every group and must stand alone", AnyGroup)
		}
	}
	return nil
}

func (g Groups) IsAny() bool { return len(g) == 1 && g[0] == AnyGroup }

// ScriptArg is the argument by which the publish script sees to it that a queue is known and has
// its groups; unless it is due, only where the queue has no stream.
func (g Groups) ScriptArg(isDue bool) string {
	argument := "begin"
	if isDue {
		argument = "ensure"
	}
	if g.IsAny() || len(g) == 0 {
		return argument
	}
	return argument + "\n" + strings.Join(g, "\n")
}

// GroupInfo is a consumer group.
type GroupInfo struct {
	Name string
	// Waiting is how many tasks it has not read.
	Waiting       int64
	Pending       int64
	Consumers     int64
	LastDelivered string
	// Idle is how long ago one of its consumers last asked for work, negative when it has none.
	// Unread: tasks have waited for it for unreadPeriod, and no consumer asked meanwhile. Only
	// Queue tells these.
	Idle   time.Duration
	Unread bool
}
