package style

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const architecture = "docs/architecture.md"

var root = filepath.Join("..", "..")

var (
	pathIn = regexp.MustCompile("`([a-z][\\w./-]*/[\\w./-]+)`(?: \\(((?:`[\\w.]+`(?:, )?)+)\\))?")
	nameIn = regexp.MustCompile("`([\\w.]+)`")
)

// Each path that the map of the code names exists, and each name in parentheses behind a Go file is
// declared there.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	text := readPage(t, architecture)
	paths, names := 0, 0
	for _, m := range pathIn.FindAllStringSubmatch(text, -1) {
		path := filepath.Join(root, m[1])
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s names %s, which does not exist", architecture, m[1])
			continue
		}
		paths++
		if m[2] == "" {
			continue
		}
		for _, name := range nameIn.FindAllStringSubmatch(m[2], -1) {
			if names++; !declares(t, path, name[1]) {
				t.Errorf("%s says that %s declares %s, which it does not", architecture, m[1], name[1])
			}
		}
	}
	if paths < 30 || names < 15 {
		t.Errorf("found only %d paths and %d names: is the notation `path.go` (`Name`, `Type.Method`)?", paths, names)
	}
}

// declares reports whether a Go file declares a name, or a Lua file defines a function of it.
func declares(t *testing.T, path, name string) bool {
	t.Helper()
	if !strings.HasSuffix(path, ".go") {
		text, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(text), "function "+name+"(")
	}
	return slices.Contains(declarations(t, path), name)
}

// declarations lists the functions, methods (as Type.Method), types, constants and variables of a
// Go file.
func declarations(t *testing.T, path string) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			names = append(names, receiver(decl)+decl.Name.Name)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, spec.Name.Name)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names
}

// receiver is the receiver's type and a dot, "" for a function.
func receiver(decl *ast.FuncDecl) string {
	if decl.Recv == nil {
		return ""
	}
	expr := decl.Recv.List[0].Type
	if pointer, ok := expr.(*ast.StarExpr); ok {
		expr = pointer.X
	}
	if generic, ok := expr.(*ast.IndexExpr); ok {
		expr = generic.X
	}
	if generic, ok := expr.(*ast.IndexListExpr); ok {
		expr = generic.X
	}
	if name, ok := expr.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

// The picture of the packages is true: each line names a package, and a package imports only packages
// of lines below its own.
func TestArchitecturePictureIsTrue(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- packages -->\n```\n", "```\n<!-- /packages -->"
	_, rest, ok := strings.Cut(readPage(t, architecture), begin)
	picture, _, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no picture between %q and %q", architecture, begin, end)
	}
	var order []string
	for line := range strings.Lines(picture) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name != "" {
			order = append(order, name)
		}
	}
	for i, name := range order {
		for _, imported := range ownImports(t, name) {
			at := slices.Index(order, imported)
			if at < 0 && inPicture(order, imported) {
				continue
			}
			if at <= i {
				t.Errorf("%s imports %s, which the picture shows above it or not at all", name, imported)
			}
		}
	}
	for _, dir := range packagesUnder(t, "redis") {
		if !slices.Contains(order, dir) && dir != testServers {
			t.Errorf("the picture lacks the package %s", dir)
		}
	}
}

// inPicture reports whether a package lies in a folder that the picture shows as a whole ("gen/").
func inPicture(order []string, dir string) bool {
	return slices.ContainsFunc(order, func(line string) bool { return strings.HasSuffix(line, "/") && strings.HasPrefix(dir+"/", line) })
}

// testServers is the package of the servers that tests start; it is in no picture.
const testServers = "redis/redistest"

const module = "github.com/hikmaai-io/argus-queue/"

// ownImports lists the packages of this module that the non-test files of a folder import; with a
// slash at its end, of all folders below.
func ownImports(t *testing.T, dir string) (imported []string) {
	t.Helper()
	folders := []string{dir}
	if strings.HasSuffix(dir, "/") {
		folders = packagesUnder(t, strings.TrimSuffix(dir, "/"))
	}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("there is no package %s", folder)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range parsed.Imports {
				if own, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module); ok && own != testServers && !strings.HasPrefix(own+"/", dir) {
					imported = append(imported, own)
				}
			}
		}
	}
	slices.Sort(imported)
	return slices.Compact(imported)
}

// packagesUnder lists the folders below one that hold Go files.
func packagesUnder(t *testing.T, dir string) (packages []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			folder, relErr := filepath.Rel(root, filepath.Dir(path))
			packages = append(packages, filepath.ToSlash(folder))
			err = relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
