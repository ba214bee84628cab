package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/redis"
)

// settings reads what a command is told, flags over environment over a YAML file over
// defaults. Each setting is written once, as one call of text, number, duration,
// list or toggle; its flag, its environment variable and its YAML key follow from its name:
//
//	redis.pool_size   --redis-pool-size   ARGUS_REDIS_POOL_SIZE   redis: {pool_size: …}
//
// A value from any source goes through the flag's own parser.
type settings struct {
	flags *pflag.FlagSet
	keys  []string
	// sources are the settings that were given, as they were written: "--redis-addr",
	// "ARGUS_REDIS_ADDR" or "argus.yaml: redis.addr".
	sources map[string]string
	// warnings are what is wrong with the settings and does not keep the command from
	// running.
	warnings []string
	// sections are YAML keys that are no single value; each takes its part of the file.
	sections map[string]func([]byte) error
	// file is the YAML file, fileFlag the flag that names it.
	file     string
	fileFlag string
	// fileOnly: flags and environment have no part in it.
	fileOnly bool
}

// newSettings makes settings whose YAML file is named by a flag.
func newSettings(flags *pflag.FlagSet, fileFlag, what string) *settings {
	s := &settings{flags: flags, sources: make(map[string]string), sections: make(map[string]func([]byte) error), fileFlag: fileFlag}
	flags.SortFlags = false
	flags.StringVar(&s.file, fileFlag, "", what+" ["+envName(fileFlag)+"]")
	s.annotate(fileFlag)
	return s
}

// annotate tells a flag the name of its environment variable.
func (s *settings) annotate(key string) {
	s.flags.Lookup(flagName(key)).Annotations = map[string][]string{envAnnotation: {envName(key)}}
}

func flagName(key string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(key) }

func envName(key string) string {
	return "ARGUS_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// given is true of a setting that has not its default from the program.
func (s *settings) given(key string) bool { return s.sources[key] != "" }

// name is a setting as its user wrote it; one that was not given is named as it could be.
func (s *settings) name(key string) string {
	switch {
	case s.given(key):
		return s.sources[key]
	case s.fileOnly || !slices.Contains(s.keys, key):
		return s.file + ": " + key
	}
	return "--" + flagName(key)
}

// rename makes bad arguments name the settings that they come from. key is the setting of a
// field.
func (s *settings) rename(err error, key func(field string) string) error {
	var argument *redis.ArgumentError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, inner := range joined.Unwrap() {
			errs = append(errs, s.rename(inner, key))
		}
		return errors.Join(errs...)
	}
	if !errors.As(err, &argument) {
		return err
	}
	return fmt.Errorf("%s: %s", s.name(key(argument.Field)), argument.Problem)
}

func (s *settings) add(key, usage string) (name, help string) {
	s.keys = append(s.keys, key)
	return flagName(key), usage + " [" + envName(key) + "]"
}

func (s *settings) text(p *string, key, value, usage string) {
	name, help := s.add(key, usage)
	s.flags.StringVar(p, name, value, help)
	s.annotate(key)
}

func (s *settings) number(p *int, key string, value int, usage string) {
	name, help := s.add(key, usage)
	s.flags.IntVar(p, name, value, help)
	s.annotate(key)
}

func (s *settings) duration(p *time.Duration, key string, value time.Duration, usage string) {
	name, help := s.add(key, usage)
	s.flags.DurationVar(p, name, value, help)
	s.annotate(key)
}

func (s *settings) list(p *names, key, usage string) {
	name, help := s.add(key, usage)
	s.flags.Var(p, name, help)
}

// names are a list as a flag's value: separated by commas.
type names []string

func (n *names) String() string { return strings.Join(*n, ",") }

func (n *names) Type() string { return "list" }

func (n *names) Set(text string) error {
	*n = nil
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			*n = append(*n, name)
		}
	}
	return nil
}

func (s *settings) toggle(p *bool, key string, value bool, usage string) {
	name, help := s.add(key, usage)
	s.flags.BoolVar(p, name, value, help)
	s.annotate(key)
}

// resolve fills in what no flag gave, and reports all bad values at once.
func (s *settings) resolve(env func(string) (string, bool)) error {
	if name, ok := env(envName(s.fileFlag)); ok && !s.flags.Changed(s.fileFlag) {
		s.file = name
	}
	file, err := s.read()
	errs := []error{err}
	for _, key := range s.keys {
		flag := s.flags.Lookup(flagName(key))
		fromEnv, inEnv := env(envName(key))
		fromFile, inFile := file[key]
		var err error
		switch {
		case flag.Changed:
			s.sources[key] = "--" + flag.Name
		case inEnv:
			s.sources[key] = envName(key)
			err = setFrom(flag, fromEnv, envName(key))
		case inFile:
			s.sources[key] = s.file + ": " + key
			err = setFrom(flag, fromFile, s.sources[key])
		}
		errs = append(errs, err)
		if flag.Changed && isSecret(key) {
			s.warn("--%s: a secret in a flag can be read in the list of processes and in the shell's history; put it into a file and give --%s-file", flag.Name, flag.Name)
		}
	}
	return errors.Join(errs...)
}

func (s *settings) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

func setFrom(flag *pflag.Flag, value, source string) error {
	if err := flag.Value.Set(value); err != nil {
		return badValue(source, value, flag)
	}
	return nil
}

// badValue is the error of a value that its flag does not take.
func badValue(source, value string, flag *pflag.Flag) error {
	kinds := map[string]string{"int": "an integer", "int32": "an integer", "bool": "true or false", "duration": "a duration, such as 30s or 5m"}
	kind, ok := kinds[flag.Value.Type()]
	if !ok {
		kind = "a " + flag.Value.Type()
	}
	return fmt.Errorf("%s: %q is not %s", source, value, kind)
}

// read reads the file as values by key.
func (s *settings) read() (map[string]string, error) {
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

func (s *settings) flatten(path string, tree map[string]any, into map[string]string) error {
	var errs []error
	for name, value := range tree {
		key := path + name
		inner, isMap := value.(map[string]any)
		section, isSection := s.sections[key]
		switch {
		case isSection:
			part, err := yaml.Marshal(value)
			if err == nil {
				err = section(part)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %s", s.file, key, strings.TrimSpace(yaml.FormatError(err, false, false))))
			}
		case isMap && s.isGroup(key):
			errs = append(errs, s.flatten(key+".", inner, into))
		case !slices.Contains(s.keys, key):
			errs = append(errs, fmt.Errorf("%s: unknown key %s", s.file, key))
		case isMap:
			errs = append(errs, fmt.Errorf("%s: %s: want one value", s.file, key))
		case isList(value) && s.flags.Lookup(flagName(key)).Value.Type() == new(names).Type():
			var list []string
			for _, item := range value.([]any) {
				list = append(list, fmt.Sprint(item))
			}
			into[key] = strings.Join(list, ",")
		case value == nil: // "key:" with nothing after it: as if it were not there
		default:
			into[key] = fmt.Sprint(value)
		}
	}
	return errors.Join(errs...)
}

func isList(value any) bool {
	_, ok := value.([]any)
	return ok
}

func (s *settings) isGroup(key string) bool {
	return slices.ContainsFunc(s.keys, func(k string) bool { return strings.HasPrefix(k, key+".") })
}
