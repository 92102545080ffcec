package generate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// listed is what the Go command says of a package.
type listed struct {
	ImportPath, Dir, Name, Export      string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Error                              *struct{ Err string }
}

// loader reads packages.
type loader struct {
	dir     string // where patterns count from
	fset    *token.FileSet
	matched map[string]*source // by import path
	exports map[string]string  // files of export data, by import path
	others  types.Importer     // of exports
}

// source is a package that was asked for.
type source struct {
	listed
	files []*ast.File // without the generated one
	tests []*ast.File // which are not checked
	types *types.Package
	info  *types.Info
	errs  []types.Error

	annotated bool // it has directives
	busy      bool // being checked
}

// list runs go list.
func list(ctx context.Context, dir string, args ...string) ([]listed, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-e"}, args...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
}

// Missing are the packages that generated code imports and no module of go.mod provides, so
// that the packages, seen from dir, do not compile before "go mod tidy".
func Missing(ctx context.Context, dir string, patterns ...string) ([]string, error) {
	all, err := list(ctx, dir, append([]string{"-deps", "-json=ImportPath,Dir", "--"}, patterns...)...)
	var missing []string
	for _, p := range all {
		ours := p.ImportPath == wirePackage || p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/")
		if ours && p.Dir == "" {
			missing = append(missing, p.ImportPath)
		}
	}
	return missing, err
}

// load finds the packages that patterns match, and parses those that have directives.
func load(ctx context.Context, dir string, patterns []string) (*loader, []*source, error) {
	l := &loader{dir: dir, fset: token.NewFileSet(), matched: map[string]*source{}, exports: map[string]string{}}
	args := append([]string{"-json=ImportPath,Dir,Name,GoFiles,TestGoFiles,XTestGoFiles,Error", "--"}, patterns...)
	found, err := list(ctx, dir, args...)
	if err != nil {
		return nil, nil, err
	}
	var all []*source
	var annotated []string
	for _, p := range found {
		if p.Error != nil && p.Dir == "" {
			return nil, nil, fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		s := &source{listed: p}
		l.matched[p.ImportPath] = s
		all = append(all, s)
		if s.annotated, err = s.hasDirectives(); err != nil {
			return nil, nil, err
		}
		if s.annotated {
			annotated = append(annotated, p.ImportPath)
		}
	}
	if len(annotated) == 0 {
		return l, all, nil
	}
	return l, all, l.check(ctx, annotated)
}

// check parses packages and finds out their types.
func (l *loader) check(ctx context.Context, paths []string) error {
	deps, err := list(ctx, l.dir, append([]string{"-export", "-deps", "-json=ImportPath,Export", "--"}, paths...)...)
	if err != nil {
		return err
	}
	for _, p := range deps {
		l.exports[p.ImportPath] = p.Export
	}
	l.others = importer.ForCompiler(l.fset, "gc", l.export)
	for _, path := range paths {
		if err := l.parseTests(l.matched[path]); err != nil {
			return err
		}
		if _, err := l.Import(path); err != nil {
			return err
		}
	}
	return nil
}

// hasDirectives reports whether any file may have some.
func (s *source) hasDirectives() (bool, error) {
	for _, name := range slices.Concat(s.GoFiles, s.TestGoFiles, s.XTestGoFiles) {
		if name == fileName {
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.Dir, name))
		if err != nil {
			return false, err
		}
		if bytes.Contains(text, []byte(strings.TrimPrefix(prefix, "//"))) {
			return true, nil
		}
	}
	return false, nil
}

// export opens a package's export data.
func (l *loader) export(path string) (io.ReadCloser, error) {
	file := l.exports[path]
	if file == "" {
		return nil, fmt.Errorf("package %s cannot be read; does it compile?", path)
	}
	return os.Open(file)
}

// Import implements types.Importer: packages that were asked for are read from their
// source, since they may need what is yet to be generated.
func (l *loader) Import(path string) (*types.Package, error) {
	s := l.matched[path]
	if s == nil {
		return l.others.Import(path)
	}
	switch {
	case s.types != nil:
		return s.types, nil
	case s.busy:
		return nil, fmt.Errorf("import cycle through %s", path)
	}
	s.busy = true
	if err := l.parse(s); err != nil {
		return nil, err
	}
	s.info = &types.Info{Defs: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{
		Importer: l, IgnoreFuncBodies: true, FakeImportC: true,
		Error: func(err error) {
			var te types.Error
			if errors.As(err, &te) {
				s.errs = append(s.errs, te)
			}
		},
	}
	s.types, _ = conf.Check(path, l.fset, s.files, s.info) // what matters of its errors is told where it does
	return s.types, nil
}

// parse reads the files of a package, once.
func (l *loader) parse(s *source) error {
	if s.files != nil {
		return nil
	}
	for _, name := range s.GoFiles {
		if name == fileName {
			continue
		}
		f, err := l.parseFile(s.Dir, name)
		if err != nil {
			return err
		}
		s.files = append(s.files, f)
	}
	return nil
}

func (l *loader) parseTests(s *source) error {
	for _, name := range slices.Concat(s.TestGoFiles, s.XTestGoFiles) {
		f, err := l.parseFile(s.Dir, name)
		if err != nil {
			return err
		}
		s.tests = append(s.tests, f)
	}
	return nil
}

func (l *loader) parseFile(dir, name string) (*ast.File, error) {
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parser.ParseFile(l.fset, l.relative(path), text, parser.ParseComments|parser.SkipObjectResolution)
}

// relative shortens a path where it can.
func (l *loader) relative(path string) string {
	abs, err := filepath.Abs(l.dir)
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(abs, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
