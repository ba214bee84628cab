package settings

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// read reads the file as values by key.
func (s *Settings) read() (map[string]string, error) {
	if s.file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("%s: %s", s.file, yaml.FormatError(err, false, false))
	}
	values := make(map[string]string)
	return values, s.flatten("", tree, values)
}

// flatten adds the values of a YAML mapping; path is the key of the mapping, with a dot at its end.
func (s *Settings) flatten(path string, tree map[string]any, into map[string]string) error {
	var errs []error
	for name, value := range tree {
		errs = append(errs, s.flattenValue(path+name, value, into))
	}
	return errors.Join(errs...)
}

func (s *Settings) flattenValue(key string, value any, into map[string]string) error {
	group, isGroup := value.(map[string]any)
	switch parse, isSection := s.sections[key]; {
	case isSection:
		return s.parseSection(key, value, parse)
	case isGroup && s.isGroup(key):
		return s.flatten(key+".", group, into)
	case !slices.Contains(s.keys, key):
		return fmt.Errorf("%s: unknown key %s", s.file, key)
	case isGroup:
		return fmt.Errorf("%s: %s: want one value", s.file, key)
	case value == nil: // "key:" with nothing after it counts as absent
		return nil
	}
	into[key] = s.text(key, value)
	return nil
}

func (s *Settings) parseSection(key string, value any, parse func([]byte) error) error {
	text, err := yaml.Marshal(value)
	if err == nil {
		err = parse(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %s", s.file, key, strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return nil
}

// text writes a YAML value as its flag's parser reads it.
func (s *Settings) text(key string, value any) string {
	list, isList := value.([]any)
	if !isList || s.Flag(key).Value.Type() != new(Names).Type() {
		return fmt.Sprint(value)
	}
	var items []string
	for _, item := range list {
		items = append(items, fmt.Sprint(item))
	}
	return strings.Join(items, ",")
}

// isGroup reports whether a key is the first part of other keys.
func (s *Settings) isGroup(key string) bool {
	return slices.ContainsFunc(s.keys, func(k string) bool { return strings.HasPrefix(k, key+".") })
}
