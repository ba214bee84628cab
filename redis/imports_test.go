package redis_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/hikmaai-io/argus-queue/"

// A layer is a package and what it may import.
type layer struct {
	pkg string
	may []string
}

// layers says which packages of the module each package may import, from the bottom up; "/..." matches a
// package and those below it. Every package of redis and server has a row.
var layers = []layer{
	{"redis/internal/notify", nil},
	{"redis/internal/resp", nil},
	{"redis/redistest", nil},
	{"redis/job", []string{"redis/internal/resp"}},
	{"redis/internal/conn", []string{"redis/internal/resp", "redis/job"}},
	{"redis/result", []string{"redis/internal/conn", "redis/internal/resp", "redis/job"}},
	{"redis/state", []string{"redis/result", "redis/internal/conn", "redis/internal/resp", "redis/job"}},
	{"redis", []string{"redis/state", "redis/internal/conn", "redis/job"}},
	{"redis/watch", []string{"redis/state", "redis/result", "redis/internal/conn", "redis/internal/resp", "redis/internal/notify", "redis/job"}},
	{"redis/queue", []string{"redis/watch", "redis/state", "redis/result",
		"redis/internal/conn", "redis/internal/resp", "redis/internal/notify", "redis/job"}},
	{"redis/admin", []string{"redis/queue", "redis/watch", "redis", "redis/state", "redis/result",
		"redis/internal/conn", "redis/internal/resp", "redis/job"}},
	{"redis/broker", []string{"redis/admin", "redis/queue", "redis/watch", "redis", "redis/state", "redis/result",
		"redis/internal/conn", "redis/internal/resp", "redis/internal/notify", "redis/job"}},
	{"server/codec", []string{"gen/..."}},
	{"server/internal/guard", []string{"gen/..."}},
	{"server", []string{"gen/...", "server/...", "redis/broker", "redis/admin", "redis/queue", "redis/watch",
		"redis/state", "redis/result", "redis/job"}},
}

// bans says what the packages at and below a directory must not import. With isTransitive this includes what
// the packages that they import from the module import.
var bans = []struct {
	below, never string
	isTransitive bool
	why          string
}{
	{"redis", "google.golang.org/grpc/...", false, "the engine knows no transport: gRPC begins in server"},
	{"cmd/argus/internal/cli", module + "redis/...", true, "a client command reaches tasks through the server only"},
}

func TestImportsGoDown(t *testing.T) {
	t.Parallel()
	files := sourceFiles(t, "redis", "server")
	for pkg, list := range files {
		i := slices.IndexFunc(layers, func(l layer) bool { return l.pkg == pkg })
		if i < 0 {
			t.Errorf("package %s has no row in layers: add one that says what it may import", pkg)
			continue
		}
		may := layers[i].may
		for _, f := range list {
			for _, imported := range f.imports {
				ours, isOurs := strings.CutPrefix(imported, module)
				if isOurs && !slices.ContainsFunc(may, func(pattern string) bool { return matches(pattern, ours) }) {
					t.Errorf("%s imports %s: of this module, %s may import only %q", f.path, ours, pkg, may)
				}
			}
		}
	}
	for _, l := range layers {
		if files[l.pkg] == nil {
			t.Errorf("layers has a row for %s, which has no files: delete the row", l.pkg)
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	t.Parallel()
	files := sourceFiles(t, "redis", "server", "cmd", "gen")
	for _, ban := range bans {
		var check []string
		for pkg := range files {
			if matches(ban.below+"/...", pkg) {
				check = append(check, pkg)
			}
		}
		if len(check) == 0 {
			t.Errorf("bans has a row for %s, which has no packages", ban.below)
		}
		for i := 0; i < len(check); i++ { // check grows while it is read
			for _, f := range files[check[i]] {
				for _, imported := range f.imports {
					ours, isOurs := strings.CutPrefix(imported, module)
					if matches(ban.never, imported) {
						t.Errorf("%s imports %s: %s must not: %s", f.path, imported, ban.below, ban.why)
					} else if ban.isTransitive && isOurs && !slices.Contains(check, ours) {
						check = append(check, ours)
					}
				}
			}
		}
	}
}

// matches reports whether a pattern, as the go command has it, matches an import path.
func matches(pattern, imported string) bool {
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return imported == tree || isTree && strings.HasPrefix(imported, tree+"/")
}

// A sourceFile is a file that is not a test, by its path in the repository.
type sourceFile struct {
	path    string
	imports []string
}

// sourceFiles returns the files below directories of the repository, by package.
func sourceFiles(t *testing.T, dirs ...string) map[string][]sourceFile {
	t.Helper()
	found := make(map[string][]sourceFile)
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join("..", dir), func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return nil
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			f := sourceFile{path: strings.TrimPrefix(filepath.ToSlash(name), "../")}
			for _, spec := range parsed.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				f.imports = append(f.imports, imported)
			}
			found[path.Dir(f.path)] = append(found[path.Dir(f.path)], f)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}
