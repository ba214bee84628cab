package job

import (
	"fmt"
	"strings"
	"time"
)

// MaxGroups is the maximum number of consumer groups of a queue, apart from those that raw peers create.
// Settling a task looks at every group, so the number bounds its cost.
const MaxGroups = 16

// AnyGroup is the only entry of Groups that let a reader create the group that it names.
const AnyGroup = "any"

// Groups lists names of consumer groups, or AnyGroup alone.
type Groups []string

// UnmarshalYAML reads a list or a single name.
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

// IsAny reports whether a reader may create any group.
func (g Groups) IsAny() bool { return len(g) == 1 && g[0] == AnyGroup }

// ScriptArg returns the argument with which the publish script registers a queue and creates its groups.
// With isDue it always does so; otherwise only when the queue has no stream.
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

// GroupInfo describes a consumer group of a queue.
type GroupInfo struct {
	Name string
	// Waiting is the number of tasks that the group has not read.
	Waiting       int64
	Pending       int64
	Consumers     int64
	LastDelivered string
	// Idle is the time since one of the group's consumers last asked for work; negative without consumers.
	// Only a call about a single queue sets Idle and Unread.
	Idle time.Duration
	// Unread is true when tasks have waited for the group for a while and no consumer asked for work.
	Unread bool
}
