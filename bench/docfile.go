package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
)

// The part of a document that a run fills in lies between these lines.
const (
	docBegin = "<!-- written by bench: begin -->\n"
	docEnd   = "<!-- written by bench: end -->\n"
)

// document is a Markdown file with a part for the results.
type document struct {
	path          string
	mode          fs.FileMode
	before, after []byte // the lines that mark the part are theirs
}

// readDocument reads a document before the measurement, which takes longer than
// a mistake in it should wait.
func readDocument(path string) (*document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	before, rest, ok := bytes.Cut(text, []byte(docBegin))
	_, after, ended := bytes.Cut(rest, []byte(docEnd))
	if !ok || !ended {
		return nil, fmt.Errorf("%s has no lines %q and %q, between which the results go", path, docBegin, docEnd)
	}
	return &document{
		path: path, mode: info.Mode().Perm(),
		before: append(before[:len(before):len(before)], docBegin...), after: append([]byte(docEnd), after...),
	}, nil
}

// write fills the results in.
func (d *document) write(r *results) error {
	var out bytes.Buffer
	out.Write(d.before)
	out.WriteByte('\n')
	printTables(&out, r)
	out.Write(d.after)
	return os.WriteFile(d.path, out.Bytes(), d.mode)
}
