// Package style checks the language of the repository: comments, messages and documentation use plain
// technical English.
package style

import (
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// exempt lists directories and files whose prose is not checked yet. It only shrinks.
var exempt = []string{}

// generated lists files whose prose is checked at its source, and texts that are not ours.
var generated = []string{"gen/", "docs/cli.md", "docs/configuration.md", "docs/contract.md", "LICENSE", "tests/style/"}

// words are expressions to avoid, with a better wording. A space matches any white space, also between
// two lines of a comment; matching ignores case and respects word boundaries.
var words = []struct{ avoid, better string }{
	{`whoever|whosoever`, `"a caller that …", "any client that …"`},
	{`nobody`, `"no worker", "no caller", "no client"`},
	{`anew`, `"again"`},
	{`(is|are|be|been|being|was|were|gets?|not) told|told (of|that|by)|tells? of|tell of`, `"is notified", "receives", "reports"`},
	{`he|him|his|himself`, `"it", "its", "itself": goroutines, clients, servers and workers are things`},
	{`who (waits?|waited|asks?|asked|looks?|listens?|comes?|heeds?)`, `"a waiter", "a caller that waits"`},
	{`thereby|whereby|wherein|whence|thence|hence|lest|whilst|hitherto|likewise`, `"so", "by which", "in the same way"`},
	{`rung|rang|doorbells?|rings? (the|for|a|its|his|by|when|twice|once)|rings? came`, `"notify", "notification"`},
	{`ears?|mailbox(es)?`, `"subscription", "inbox"`},
	{`epitaphs?|bury|buries|buried|burial`, `"failure message", "dead letter"`},
	{`heeds?|heeded|hearkens?|takes? note of`, `"consume", "handle"`},
	{`(gives?|gave|given|giving) (it |them |one |a task |tasks )?back`, `"release" (untried, keeps its place) or "requeue" (tried, goes to the end)`},
	{`(turns?|turned|turning) (it |them )?away`, `"reject"`},
	{`(puts?|putting) (it |them )?off`, `"postpone", "schedule"`},
	{`(is|are|was|were) no more`, `"no longer exists"`},
	{`(goes|go|went|going) on`, `"continue", "resume"`},
	{`in earnest`, `"in production"`},
	{`what became of|what becomes of`, `"the outcome of"`},
	{`worked off`, `"processed", "drained"`},
	{`the time (is|was) up`, `"the call timed out"`},
	{`that is none|which is none`, `"that is not a …"`},
	{`one knows|one thinks|one sees`, `the actor by name`},
}

func TestWords(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	for _, path := range files(t, root) {
		content, err := os.ReadFile(filepath.Join(root, path))
		if os.IsNotExist(err) {
			continue // deleted, not committed yet
		} else if err != nil {
			t.Fatal(err)
		}
		for _, finding := range check(path, content) {
			t.Error(finding)
		}
	}
}

// check returns what is wrong with the prose of a file, one line per finding.
func check(path string, content []byte) []string {
	text := prose(path, content)
	var findings []string
	for i, rule := range rules {
		for _, at := range rule.FindAllIndex(text, -1) {
			found := strings.Join(strings.Fields(string(text[at[0]:at[1]])), " ")
			findings = append(findings, fmt.Sprintf("%s:%d: %q: write %s", path, 1+bytes.Count(text[:at[0]], []byte("\n")), found, words[i].better))
		}
	}
	return findings
}

var rules = func() []*regexp.Regexp {
	list := make([]*regexp.Regexp, len(words))
	for i, w := range words {
		list[i] = regexp.MustCompile(`(?i)\b(?:` + strings.ReplaceAll(w.avoid, " ", `\s+`) + `)\b`)
	}
	return list
}()

// files lists the files of the repository that are checked: tracked ones, and new ones that are not ignored.
func files(t *testing.T, root string) []string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	skip := slices.Concat(exempt, generated)
	return slices.DeleteFunc(strings.Split(string(out), "\x00"), func(path string) bool {
		return kind(path) == "" || slices.ContainsFunc(skip, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
	})
}

// kind is how prose is found in a file: its extension, or "" for a file that is not checked.
func kind(path string) string {
	switch ext := filepath.Ext(path); {
	case path == ".ci/run", filepath.Base(path) == "Makefile":
		return ".sh"
	case ext == ".yml":
		return ".yaml"
	case slices.Contains([]string{".go", ".lua", ".proto", ".md", ".yaml", ".sh", ".py", ".ts"}, ext):
		return ext
	}
	return ""
}

// prose returns the content with everything but prose replaced, so that offsets and lines stay the same.
func prose(path string, content []byte) []byte {
	switch kind(path) {
	case ".go":
		return goProse(content)
	case ".md":
		return markdownProse(content)
	case ".lua":
		return comments(content, regexp.MustCompile(`--`))
	case ".proto", ".ts":
		return comments(content, regexp.MustCompile(`//|^\s*/?\*+`))
	default:
		return comments(content, regexp.MustCompile(`(^|\s)#`))
	}
}

// goProse keeps comments and the contents of string literals.
func goProse(content []byte) []byte {
	text := make([]byte, 0, len(content))
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(content))
	var s scanner.Scanner
	s.Init(file, content, func(token.Position, string) {}, scanner.ScanComments)
	for {
		at, kind, literal := s.Scan()
		if kind == token.EOF {
			break
		}
		if kind != token.COMMENT && kind != token.STRING {
			continue
		}
		offset := file.Offset(at)
		text = append(text, spaced(content[len(text):offset])...)
		if kind == token.STRING {
			text = append(text, ';')
			text = append(text, literal[1:len(literal)-1]...)
			text = append(text, ';')
		} else {
			text = append(text, strings.NewReplacer("//", "  ", "/*", "  ", "*/", "  ").Replace(literal)...)
		}
	}
	return append(text, spaced(content[len(text):])...)
}

// spaced returns text of the same length and lines in which no word is left.
func spaced(text []byte) []byte {
	out := bytes.Clone(text)
	for i, b := range out {
		if b != '\n' && b != ' ' && b != '\t' {
			out[i] = ';'
		}
	}
	return out
}

// comments keeps what follows a comment mark in each line.
func comments(content []byte, mark *regexp.Regexp) []byte {
	lines := bytes.SplitAfter(content, []byte("\n"))
	for i, line := range lines {
		at := mark.FindIndex(line)
		if at == nil {
			at = []int{len(line), len(line)}
		}
		lines[i] = slices.Concat(spaced(line[:at[0]]), bytes.Repeat([]byte(" "), at[1]-at[0]), line[at[1]:])
	}
	return bytes.Join(lines, nil)
}

// code matches an inline code span or the target of a link.
var code = regexp.MustCompile("`[^`]*`|\\]\\([^)]*\\)")

// markdownProse keeps what is outside code blocks, code spans and the targets of links.
func markdownProse(content []byte) []byte {
	lines := bytes.SplitAfter(content, []byte("\n"))
	inBlock := false
	for i, line := range lines {
		fence := bytes.HasPrefix(bytes.TrimSpace(line), []byte("```"))
		if inBlock || fence {
			lines[i] = spaced(line)
		} else {
			lines[i] = code.ReplaceAllFunc(line, spaced)
		}
		inBlock = inBlock != fence
	}
	return bytes.Join(lines, nil)
}
