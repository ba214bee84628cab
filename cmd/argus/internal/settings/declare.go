package settings

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// envAnnotation is where a flag keeps the name of its environment variable.
const envAnnotation = "argus_env"

// FlagName is the name of a setting's flag.
func FlagName(key string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(key) }

// EnvName is the name of a setting's environment variable.
func EnvName(key string) string {
	return "ARGUS_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Variables returns the environment variables that a flag is read from; none for a flag that is no
// setting.
func Variables(flag *pflag.Flag) []string { return flag.Annotations[envAnnotation] }

// annotate records at a flag the name of its environment variable.
func (s *Settings) annotate(key string) {
	s.Flag(key).Annotations = map[string][]string{envAnnotation: {EnvName(key)}}
}

// add lists a setting, and returns the name and the usage of its flag.
func (s *Settings) add(key, usage string) (name, help string) {
	s.keys = append(s.keys, key)
	return FlagName(key), usage + " [" + EnvName(key) + "]"
}

// Text declares a setting that is text.
func (s *Settings) Text(p *string, key, value, usage string) { s.TextP(p, key, "", value, usage) }

// TextP declares a setting that is text and whose flag has a one-letter form.
func (s *Settings) TextP(p *string, key, letter, value, usage string) {
	name, help := s.add(key, usage)
	s.flags.StringVarP(p, name, letter, value, help)
	s.annotate(key)
}

// Number declares a setting that is an integer.
func (s *Settings) Number(p *int, key string, value int, usage string) {
	name, help := s.add(key, usage)
	s.flags.IntVar(p, name, value, help)
	s.annotate(key)
}

// Duration declares a setting that is a duration.
func (s *Settings) Duration(p *time.Duration, key string, value time.Duration, usage string) {
	name, help := s.add(key, usage)
	s.flags.DurationVar(p, name, value, help)
	s.annotate(key)
}

// Toggle declares a setting that is true or false.
func (s *Settings) Toggle(p *bool, key string, value bool, usage string) {
	name, help := s.add(key, usage)
	s.flags.BoolVar(p, name, value, help)
	s.annotate(key)
}

// List declares a setting that is a list of names.
func (s *Settings) List(p *Names, key, usage string) {
	name, help := s.add(key, usage)
	s.flags.Var(p, name, help)
	s.annotate(key)
}

// Names is a list as the value of a flag: separated by commas.
type Names []string

func (n *Names) String() string { return strings.Join(*n, ",") }

// Type names the kind of the value in help texts.
func (n *Names) Type() string { return "list" }

// Set parses a list.
func (n *Names) Set(text string) error {
	*n = nil
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			*n = append(*n, name)
		}
	}
	return nil
}
