package apache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// GoldenCase is one entry of the golden manifest. The bytes are in File, which
// is relative to the manifest and begins with the version that made it.
type GoldenCase struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Version string `json:"version"`
	// Same lists the other versions that make the same bytes.
	Same []string `json:"same,omitempty"`
	// Kind is frame, body, deflated, record, records, batch, props-write or table.
	Kind string `json:"kind"`
	// Bytes is "exact" (any encoder makes these bytes), "logical" (the order of
	// keys is that of a Java hash table or JSON library: compare what is decoded)
	// or "compressed" (holds compressed bytes: decode, and compare what is inside).
	Bytes string `json:"bytes"`
	Note  string `json:"note,omitempty"`
	// Values is what went in; its shape depends on Kind.
	Values json.RawMessage `json:"values"`
}

// GoldenManifest is the name of the manifest inside the golden directory.
const GoldenManifest = "manifest.json"

// Golden makes the golden bytes anew in dir, from [V5] and, where its bytes
// differ or only it has the case, from [V4]. It replaces dir's content, and
// refuses a directory that holds something other than golden files.
func Golden(ctx context.Context, dir string) ([]GoldenCase, error) {
	if err := replaceable(dir); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "rocketkit-golden-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	made := make(map[string][]GoldenCase)
	for _, version := range []string{V5, V4} {
		out := filepath.Join(temp, version)
		if _, err := RunJava(ctx, version, "golden.Golden", out, version); err != nil {
			return nil, err
		}
		if made[version], err = readManifest(out); err != nil {
			return nil, err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	m := merger{from: temp, to: dir, seen: make(map[string]int)}
	for _, version := range []string{V5, V4} {
		for _, c := range made[version] {
			if err := m.add(c); err != nil {
				return nil, err
			}
		}
	}
	return m.cases, m.write()
}

// replaceable answers nil when dir is missing, empty, or was made by Golden.
func replaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, GoldenManifest)); err != nil {
		return fmt.Errorf("apache: %s holds no golden files, choose another directory: %w", dir, err)
	}
	return nil
}

func readManifest(dir string) ([]GoldenCase, error) {
	content, err := os.ReadFile(filepath.Join(dir, GoldenManifest))
	if err != nil {
		return nil, err
	}
	var cases []GoldenCase
	if err := json.Unmarshal(content, &cases); err != nil {
		return nil, fmt.Errorf("apache: %s: %w", filepath.Join(dir, GoldenManifest), err)
	}
	return cases, nil
}

// merger keeps each distinct file once.
type merger struct {
	from, to string
	cases    []GoldenCase
	seen     map[string]int // case name to its index in cases
}

func (m *merger) add(c GoldenCase) error {
	content, err := os.ReadFile(filepath.Join(m.from, c.Version, c.File))
	if err != nil {
		return err
	}
	if i, ok := m.seen[c.Name]; ok {
		first := &m.cases[i]
		old, err := os.ReadFile(filepath.Join(m.to, filepath.FromSlash(first.File)))
		if err != nil {
			return err
		}
		if bytes.Equal(old, content) {
			first.Same = append(first.Same, c.Version)
			return nil
		}
	} else {
		m.seen[c.Name] = len(m.cases)
	}
	c.File = c.Version + "/" + c.File
	path := filepath.Join(m.to, filepath.FromSlash(c.File))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	m.cases = append(m.cases, c)
	return os.WriteFile(path, content, 0o644)
}

func (m *merger) write() error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(m.cases); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.to, GoldenManifest), out.Bytes(), 0o644)
}
