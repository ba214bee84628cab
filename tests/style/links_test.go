package style

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fenced  = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// Links between the repository's pages lead to files and headings that exist.
func TestLinks(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	for _, page := range pages(t, root) {
		text := fenced.ReplaceAllString(read(t, root, page), "")
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			path, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: link to %s: no such file", page, found[1])
			} else if anchor != "" && !anchors(read(t, root, target))[anchor] {
				t.Errorf("%s: link to %s: no such heading", page, found[1])
			}
		}
	}
}

// The make commands of the pages are known to make.
func TestMakeCommands(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip(err)
	}
	root := filepath.Join("..", "..")
	for _, page := range pages(t, root) {
		for _, block := range fenced.FindAllStringSubmatch(read(t, root, page), -1) {
			for line := range strings.Lines(block[2]) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
				if block[1] != "sh" || !strings.HasPrefix(line, "make ") {
					continue
				}
				command := exec.Command("bash", "-c", strings.Replace(line, "make ", "make -n ", 1))
				command.Dir, command.Env = root, append(os.Environ(), "MAKEFLAGS=")
				if out, err := command.CombinedOutput(); err != nil {
					t.Errorf("%s: %s: %v\n%s", page, line, err, out)
				}
			}
		}
	}
}

// pages lists the repository's Markdown files, generated ones included.
func pages(t *testing.T, root string) []string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	var found []string
	for page := range strings.SplitSeq(string(out), "\x00") {
		if _, err := os.Stat(filepath.Join(root, page)); page != "" && err == nil {
			found = append(found, page)
		}
	}
	return found
}

func read(t *testing.T, root, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchors returns the anchors of a page's headings, as GitHub makes them.
func anchors(text string) map[string]bool {
	found := make(map[string]bool)
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		word := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(h[1]), "")
		found[strings.ReplaceAll(word, " ", "-")] = true
	}
	return found
}
