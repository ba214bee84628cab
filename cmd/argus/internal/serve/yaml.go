package serve

import (
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
)

// yaml writes the settings as a file that serve reads.
func (c *config) yaml() (string, error) {
	tree := yaml.MapSlice{}
	for _, key := range c.settings.Keys() {
		value := c.value(key)
		group, name, grouped := strings.Cut(key, ".")
		if !grouped {
			tree = append(tree, yaml.MapItem{Key: key, Value: value})
			continue
		}
		if n := len(tree); n == 0 || tree[n-1].Key != group {
			tree = append(tree, yaml.MapItem{Key: group, Value: yaml.MapSlice{}})
		}
		last := &tree[len(tree)-1]
		last.Value = append(last.Value.(yaml.MapSlice), yaml.MapItem{Key: name, Value: value})
	}
	if len(c.Broker.Queues) > 0 {
		tree = append(tree, yaml.MapItem{Key: "queues", Value: c.Broker.Queues})
	}
	text, err := yaml.Marshal(tree)
	return string(text), err
}

// value is a setting's value for YAML. It does not show secrets.
func (c *config) value(key string) any {
	flag := c.settings.Flag(key).Value
	text := flag.String()
	if settings.IsSecret(key) && text != "" {
		return "(set, not shown)"
	}
	if on, err := strconv.ParseBool(text); err == nil && flag.Type() == "bool" {
		return on
	}
	if n, err := strconv.Atoi(text); err == nil && flag.Type() == "int" {
		return n
	}
	return text
}
