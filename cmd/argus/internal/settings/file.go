package settings

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
)

// file is a YAML file with settings.
type file struct {
	path string
	// keys has the settings that the file may have, and whether each is a list.
	keys map[string]bool
	// sections parses the keys that are no single value.
	sections map[string]func([]byte) error
}

// read reads the file as values by key.
func (s *Settings) read() (map[string]string, error) {
	f := file{path: s.file, keys: make(map[string]bool), sections: s.sections}
	for _, key := range s.keys {
		f.keys[key] = s.Flag(key).Value.Type() == new(Names).Type()
	}
	return f.read()
}

func (f file) read() (map[string]string, error) {
	if f.path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("%s: %s", f.path, yaml.FormatError(err, false, false))
	}
	values := make(map[string]string)
	return values, f.flatten("", tree, values)
}

// flatten adds the values of a YAML mapping; path is the key of the mapping, with a dot at its end.
func (f file) flatten(path string, tree map[string]any, into map[string]string) error {
	var errs []error
	for name, value := range tree {
		errs = append(errs, f.flattenValue(path+name, value, into))
	}
	return errors.Join(errs...)
}

func (f file) flattenValue(key string, value any, into map[string]string) error {
	group, isGroup := value.(map[string]any)
	switch parse, isSection := f.sections[key]; {
	case isSection:
		return f.parseSection(key, value, parse)
	case isGroup && f.isGroup(key):
		return f.flatten(key+".", group, into)
	case !f.has(key):
		return fmt.Errorf("%s: unknown key %s", f.path, key)
	case isGroup:
		return fmt.Errorf("%s: %s: want one value", f.path, key)
	case value == nil: // "key:" with nothing after it counts as absent
		return nil
	}
	into[key] = f.text(key, value)
	return nil
}

func (f file) parseSection(key string, value any, parse func([]byte) error) error {
	text, err := yaml.Marshal(value)
	if err == nil {
		err = parse(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %s", f.path, key, strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return nil
}

// text writes a YAML value as its flag's parser reads it.
func (f file) text(key string, value any) string {
	list, isList := value.([]any)
	if !isList || !f.keys[key] {
		return fmt.Sprint(value)
	}
	var items []string
	for _, item := range list {
		items = append(items, fmt.Sprint(item))
	}
	return strings.Join(items, ",")
}

func (f file) has(key string) bool {
	_, ok := f.keys[key]
	return ok
}

// isGroup reports whether a key is the first part of other keys.
func (f file) isGroup(key string) bool {
	for k := range f.keys {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}
