package generate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is the file of one package as it is and as it is to be.
type File struct {
	Path       string // relative to the directory that was given, where it is below
	Have, Want []byte // nil: there is none
	full       string
}

// Stale reports whether the file has to be written, or removed.
func (f *File) Stale() bool {
	return (f.Have == nil) != (f.Want == nil) || !bytes.Equal(f.Have, f.Want)
}

// Write writes the file, or removes it where the package needs none any longer.
func (f *File) Write() error {
	if f.Want == nil {
		return os.Remove(f.full)
	}
	return os.WriteFile(f.full, f.Want, 0o644)
}

// Mistakes are those in the directives of all packages, by file and line.
type Mistakes struct {
	all []mistake
}

type mistake struct {
	file string
	line int
	text string
}

func (m *Mistakes) add(file string, line int, text string) {
	m.all = append(m.all, mistake{file, line, text})
}

// Error lists them, a line each: file:line: what is wrong; the remedy.
func (m *Mistakes) Error() string {
	slices.SortStableFunc(m.all, func(a, b mistake) int {
		return cmp.Or(strings.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	lines := make([]string, len(m.all))
	for i, one := range m.all {
		lines[i] = fmt.Sprintf("%s:%d: %s", one.file, one.line, one.text)
	}
	return strings.Join(lines, "\n")
}

// Files reads the packages that the Go command's patterns match, seen from dir, and
// returns the files of those that have some or need some, by path. Nothing is written.
// The error may be *Mistakes.
func Files(ctx context.Context, dir string, patterns ...string) ([]*File, error) {
	l, sources, err := load(ctx, dir, patterns)
	if err != nil {
		return nil, err
	}
	mistakes := &Mistakes{}
	var files []*File
	for _, s := range sources {
		full := filepath.Join(s.Dir, fileName)
		f := &File{Path: l.relative(full), full: full}
		if f.Have, err = os.ReadFile(full); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if s.annotated {
			m := l.read(s, mistakes)
			if len(mistakes.all) == 0 {
				if f.Want, err = m.render(); err != nil {
					return nil, err
				}
			}
		}
		ours := bytes.HasPrefix(f.Have, []byte(header+"\n"))
		switch {
		case f.Have != nil && !ours && s.annotated:
			mistakes.add(f.Path, 1, "it is where the generated code goes, and was not generated; rename it")
		case f.Want != nil || ours:
			files = append(files, f)
		}
	}
	if len(mistakes.all) > 0 {
		return nil, mistakes
	}
	slices.SortFunc(files, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}
