package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The command works in the directory that it is called in, so the test is not parallel.
func TestGenerateWritesChecksAndRemoves(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var notes bytes.Buffer
	run := func(args ...string) (string, string) {
		var out bytes.Buffer
		notes.Reset()
		root := newRoot()
		root.SetArgs(append([]string{"generate"}, args...))
		root.SetOut(&out)
		root.SetErr(&notes)
		if err := root.ExecuteContext(t.Context()); err != nil {
			return out.String(), err.Error()
		}
		return out.String(), ""
	}
	const shop = "package shop\n\nimport \"context\"\n\n//rocketmq:listener topic=orders\nfunc OnOrder(context.Context, string) error { return nil }\n"
	put("go.mod", "module example.com/shop\n\ngo 1.25\n")
	put("shop.go", shop)
	stale := `not up to date: rocketmq_gen.go; run "rocketkit generate ./..."`
	for _, step := range []struct {
		what, shop string
		args       []string
		out, err   string
	}{
		{"check before", shop, []string{"--check", "./..."}, "", stale},
		{"write", shop, nil, "wrote rocketmq_gen.go\n", ""},
		{"write again", shop, []string{"./..."}, "", ""},
		{"check after", shop, []string{"--check"}, "", ""},
		{"one dash", shop, []string{"-check"}, "", "unknown shorthand flag: 'c' in -check; did you mean --check?\nsee \"rocketkit generate --help\""},
		{"a mistake", strings.Replace(shop, "topic", "topics", 1), nil, "", "nothing is written, since directives are wrong:\nshop.go:5: topics is not known; did you mean topic?"},
		{"no handler", "package shop\n", []string{"--check", "./..."}, "", stale},
		{"remove", "package shop\n", nil, "removed rocketmq_gen.go\n", ""},
		{"nothing", "package shop\n", []string{"--check"}, "", ""},
	} {
		put("shop.go", step.shop)
		if out, err := run(step.args...); out != step.out || err != step.err {
			t.Errorf("%s: prints %q and fails with %q, want %q and %q", step.what, out, err, step.out, step.err)
		}
		note := ""
		if step.what == "write" {
			note = "run \"go mod tidy\": go.mod does not have github.com/rocketkit/rocketkit/consumer yet\n"
		}
		if notes.String() != note {
			t.Errorf("%s: notes %q, want %q", step.what, &notes, note)
		}
	}
}
