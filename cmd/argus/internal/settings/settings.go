// Package settings reads the settings of a command from flags, environment and a YAML file.
package settings

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Settings reads settings: flags over environment over a YAML file over defaults. Each setting is
// declared once, by one call of Text, Number, Duration, List or Toggle; its flag, its environment
// variable and its YAML key follow from its key:
//
//	redis.pool_size   --redis-pool-size   ARGUS_REDIS_POOL_SIZE   redis: {pool_size: …}
//
// A value from any source goes through the flag's own parser.
type Settings struct {
	flags *pflag.FlagSet
	keys  []string
	// sources has the settings that were given, as the user wrote them: "--redis-addr",
	// "ARGUS_REDIS_ADDR" or "argus.yaml: redis.addr".
	sources map[string]string
	// warnings has problems that do not keep the command from running.
	warnings []string
	// sections parses YAML keys that are no single value.
	sections map[string]func([]byte) error
	// file is the path of the YAML file, fileFlag the flag that names it.
	file     string
	fileFlag string
	// fileOnly ignores flags when a setting is named.
	fileOnly bool
}

// New makes settings whose YAML file is named by a flag.
func New(flags *pflag.FlagSet, fileFlag, usage string) *Settings {
	s := &Settings{flags: flags, sources: make(map[string]string), sections: make(map[string]func([]byte) error), fileFlag: fileFlag}
	flags.SortFlags = false
	flags.StringVar(&s.file, fileFlag, "", usage+" ["+EnvName(fileFlag)+"]")
	s.annotate(fileFlag)
	return s
}

// UseFile reads only a file, whose settings errors then name.
func (s *Settings) UseFile(path string) { s.file, s.fileOnly = path, true }

// DefaultFile sets the file that is read when the user names none; "" for none.
func (s *Settings) DefaultFile(path string) {
	if !s.flags.Changed(s.fileFlag) {
		s.file = path
	}
}

// Section declares a YAML key that is no single value; parse gets its part of the file.
func (s *Settings) Section(key string, parse func([]byte) error) { s.sections[key] = parse }

// Keys returns the keys of the settings in the order of their declaration.
func (s *Settings) Keys() []string { return s.keys }

// Flag returns the flag of a setting.
func (s *Settings) Flag(key string) *pflag.Flag { return s.flags.Lookup(FlagName(key)) }

// Given reports whether the user has given a setting.
func (s *Settings) Given(key string) bool { return s.sources[key] != "" }

// Name returns a setting as the user wrote it; a setting that was not given is named by its flag.
func (s *Settings) Name(key string) string {
	switch {
	case s.Given(key):
		return s.sources[key]
	case s.fileOnly || !slices.Contains(s.keys, key):
		return s.file + ": " + key
	}
	return "--" + FlagName(key)
}

// Resolve fills in what no flag gave, and reports all bad values at once.
func (s *Settings) Resolve(env func(string) (string, bool)) error {
	if path, ok := env(EnvName(s.fileFlag)); ok && !s.flags.Changed(s.fileFlag) {
		s.file = path
	}
	file, err := s.read()
	errs := []error{err}
	for _, key := range s.keys {
		errs = append(errs, s.resolve(key, env, file))
	}
	return errors.Join(errs...)
}

// resolve takes one setting from the first source that has it.
func (s *Settings) resolve(key string, env func(string) (string, bool), file map[string]string) error {
	flag := s.Flag(key)
	fromEnv, inEnv := env(EnvName(key))
	fromFile, inFile := file[key]
	switch {
	case flag.Changed:
		s.sources[key] = "--" + flag.Name
		if IsSecret(key) {
			s.warn("--%s: a secret in a flag can be read in the list of processes and in the shell's history; put it into a file and give --%s-file", flag.Name, flag.Name)
		}
	case inEnv:
		s.sources[key] = EnvName(key)
		return set(flag, fromEnv, s.sources[key])
	case inFile:
		s.sources[key] = s.file + ": " + key
		return set(flag, fromFile, s.sources[key])
	}
	return nil
}

func set(flag *pflag.Flag, value, source string) error {
	if err := flag.Value.Set(value); err != nil {
		return BadValue(source, value, flag)
	}
	return nil
}

// BadValue is the error of a value that a flag does not accept; source names where it comes from.
func BadValue(source, value string, flag *pflag.Flag) error {
	kinds := map[string]string{"int": "an integer", "int32": "an integer", "bool": "true or false", "duration": "a duration, such as 30s or 5m"}
	kind, ok := kinds[flag.Value.Type()]
	if !ok {
		kind = "a " + flag.Value.Type()
	}
	return fmt.Errorf("%s: %q is not %s", source, value, kind)
}

// OneOf is the error of a setting whose value is not one of the words; nil if it is.
func (s *Settings) OneOf(key, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is not one of %s", s.Name(key), value, strings.Join(words, ", "))
}

func (s *Settings) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// Warnings returns problems that do not keep the command from running.
func (s *Settings) Warnings() []string { return s.warnings }

// PrintWarnings prints the warnings, each on a line.
func (s *Settings) PrintWarnings(to io.Writer) {
	for _, warning := range s.warnings {
		fmt.Fprintf(to, "argus: warning: %s\n", warning)
	}
}
