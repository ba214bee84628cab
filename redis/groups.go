package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
		return invalid(field, "has %d entries, at most %d are allowed", len(g), MaxGroups-1)
	}
	for i, name := range g {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := CheckID(at, name); err != nil {
			return err
		}
		if name == AnyGroup && len(g) > 1 {
			return invalid(at, "%q allows every group and must stand alone", AnyGroup)
		}
	}
	return nil
}

func (g Groups) isAny() bool { return len(g) == 1 && g[0] == AnyGroup }

// ensure is the argument by which the publish script sees to it that a queue is known and has
// its groups; unless it is due, only where the queue has no stream.
func (g Groups) ensure(isDue bool) string {
	argument := "begin"
	if isDue {
		argument = "ensure"
	}
	if g.isAny() || len(g) == 0 {
		return argument
	}
	return argument + "\n" + strings.Join(g, "\n")
}

// mayCreate is the argument by which the read script knows whether it may create a group.
func (b *Broker) mayCreate(queue, group string) string {
	groups := b.queueConfig(queue).Groups
	switch {
	case group == b.config.DefaultGroup, !groups.isAny() && slices.Contains(groups, group):
		return "named"
	case groups.isAny():
		return "any"
	}
	return ""
}

// CreateGroup creates a consumer group of a queue, and the queue where it is missing. The group
// gets what the queue holds now and what is published from now on, and keeps it until workers
// of the group have settled it. created is false when it was there. "" is the default queue.
// Errors: ErrTooManyGroups, ErrTooManyQueues.
func (b *Broker) CreateGroup(ctx context.Context, queue, group string) (created bool, err error) {
	queue, err = b.queueName(queue)
	if err != nil {
		return false, err
	}
	if err := CheckID("group", group); err != nil {
		return false, err
	}
	word, err := b.runGroup(ctx, queue, group, "create")
	return word == "CREATED", err
}

// DeleteGroup deletes a consumer group. What only it had still to settle is removed from the
// queue by the cleaner. With force it goes although its workers hold tasks; they lose their
// leases. "" is the default queue. Errors: ErrGroupNotFound, ErrGroupInUse, ErrInvalid for a
// group of the settings.
func (b *Broker) DeleteGroup(ctx context.Context, queue, group string, force bool) error {
	queue, err := b.queueName(queue)
	if err != nil {
		return err
	}
	if err := CheckID("group", group); err != nil {
		return err
	}
	if b.mayCreate(queue, group) == "named" {
		return invalid("group", "is named in the server's settings, which would create it again; take it out there first")
	}
	mode := "delete"
	if force {
		mode = "force"
	}
	_, err = b.runGroup(ctx, queue, group, mode)
	return err
}

// runGroup runs the script that creates and deletes groups.
func (b *Broker) runGroup(ctx context.Context, queue, group, mode string) (string, error) {
	keys := []string{b.keys.tasks(queue), b.keys.createdGroups(queue), b.keys.groupBegins(queue), b.keys.queues()}
	word, err := groupScript.word(ctx, b.client, repeatable, keys, mode, group, queue, b.config.mostQueues(queue), b.config.DefaultGroup)
	if err != nil {
		return "", err
	}
	switch word {
	case "GROUPS":
		err = &GroupError{Queue: queue, Group: group, Err: ErrTooManyGroups}
	case "QUEUES":
		err = ErrTooManyQueues
	case "NOT_FOUND":
		err = &GroupError{Queue: queue, Group: group, Err: ErrGroupNotFound}
	case "IN_USE":
		err = &GroupError{Queue: queue, Group: group, Err: ErrGroupInUse}
	}
	return word, err
}
