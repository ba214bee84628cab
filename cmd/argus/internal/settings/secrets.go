package settings

import (
	"fmt"
	"os"
	"strings"
	"unsafe"
)

// IsSecret reports whether the value of a setting is never printed.
func IsSecret(key string) bool { return strings.HasSuffix(key, "password") || key == "token" }

// SecretFile reads a secret from a file; an empty path leaves the secret alone.
func (s *Settings) SecretFile(secret *string, key, path string) error {
	if path == "" {
		return nil
	}
	if *secret != "" {
		return fmt.Errorf("%s: give either it or %s", s.Name(key), s.Name(key+"_file"))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name(key+"_file"), err)
	}
	s.warnIfReadable(key+"_file", path)
	*secret = strings.TrimRight(string(text), "\r\n")
	return nil
}

// warnIfReadable warns of a file with a secret that any user of this machine can read.
func (s *Settings) warnIfReadable(key, path string) {
	const others = 0o004
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&others != 0 {
		s.warn("%s: every user of this machine can read %s; chmod o-r it", s.Name(key), path)
	}
}

// isSecretVariable reports whether an environment variable is a secret of this program, or the
// path of one.
func isSecretVariable(name string) bool {
	if !strings.HasPrefix(name, "ARGUS_") {
		return false
	}
	for _, part := range []string{"TOKEN", "PASSWORD", "SECRET", "_KEY_FILE"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// WithoutSecrets returns an environment without the secrets of this program.
func WithoutSecrets(environ []string) []string {
	var left []string
	for _, variable := range environ {
		if name, _, _ := strings.Cut(variable, "="); !isSecretVariable(name) {
			left = append(left, variable)
		}
	}
	return left
}

// HideSecrets copies the process's own arguments, and overwrites the values of secrets in the
// originals with x, so that the list of processes does not show them. The strings of os.Args are
// the memory that the system reads; HideSecrets must not get any other strings.
func HideSecrets(args []string) []string {
	copies := make([]string, len(args))
	for i, arg := range args {
		copies[i] = strings.Clone(arg)
	}
	for i, arg := range copies {
		name, _, isInside := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case arg == "--":
			return copies
		case !strings.HasPrefix(arg, "--") || !IsSecret(strings.ReplaceAll(name, "-", "_")):
		case isInside:
			overwrite(args[i][len("--")+len(name)+len("="):])
		case i+1 < len(args):
			overwrite(args[i+1])
		}
	}
	return copies
}

func overwrite(text string) {
	memory := unsafe.Slice(unsafe.StringData(text), len(text))
	for i := range memory {
		memory[i] = 'x'
	}
}
