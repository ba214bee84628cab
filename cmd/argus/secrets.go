package main

import (
	"fmt"
	"os"
	"strings"
	"unsafe"
)

// isSecret is true of a setting whose value is never printed.
func isSecret(key string) bool { return strings.HasSuffix(key, "password") || key == "token" }

// secretFile reads a secret from a file, if one is named.
func (s *settings) secretFile(secret *string, key, path string) error {
	if path == "" {
		return nil
	}
	if *secret != "" {
		return fmt.Errorf("%s: give either it or %s", s.name(key), s.name(key+"_file"))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name(key+"_file"), err)
	}
	s.warnIfReadable(key+"_file", path)
	*secret = strings.TrimRight(string(text), "\r\n")
	return nil
}

// warnIfReadable warns of a secret that any user of this machine can read.
func (s *settings) warnIfReadable(key, path string) {
	const others = 0o004
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&others != 0 {
		s.warn("%s: every user of this machine can read %s; chmod o-r it", s.name(key), path)
	}
}

// printWarnings prints the warnings about settings.
func (p *program) printWarnings(s *settings) {
	for _, warning := range s.warnings {
		fmt.Fprintf(p.stderr, "argus: warning: %s\n", warning)
	}
}

// hasSecret is true of an environment variable that is a secret of this program, or says
// where one is.
func hasSecret(name string) bool {
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

// withoutSecrets is an environment without the secrets of this program.
func withoutSecrets(environ []string) []string {
	var left []string
	for _, variable := range environ {
		if name, _, _ := strings.Cut(variable, "="); !hasSecret(name) {
			left = append(left, variable)
		}
	}
	return left
}

// hideSecrets copies the process's own arguments, and overwrites the values of secrets in them:
// the list of processes then shows x's. Strings of os.Args are the memory that the system reads,
// and no other string may be passed.
func hideSecrets(args []string) []string {
	copies := make([]string, len(args))
	for i, arg := range args {
		copies[i] = strings.Clone(arg)
	}
	for i, arg := range copies {
		name, _, isInside := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case arg == "--":
			return copies
		case !strings.HasPrefix(arg, "--") || !isSecret(strings.ReplaceAll(name, "-", "_")):
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
