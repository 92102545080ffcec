package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/config/load"
)

// The Go on the migration pages compiles: each block begins with the comment
// "// rocketkit" or "// rocketmq-client-go", which says whose packages it means. A
// block is what a file declares, or what stands in a function that knows the
// variables of side.given.
func TestTheGoOfTheMigrationPagesCompiles(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	dir := t.TempDir()
	build := []string{"build", "-o", os.DevNull}
	for i, b := range blocks(t, root, "go") {
		file := filepath.Join(dir, fmt.Sprintf("block%d.go", i))
		if err := os.WriteFile(file, []byte(b.program(t)), 0o600); err != nil {
			t.Fatal(err)
		}
		build = append(build, file)
	}
	if want := 36; len(build) < want {
		t.Fatalf("%d blocks, want %d at least", len(build), want)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(build, shared(t, dir))...)
	cmd.Dir = root // the module that the imports are of
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The YAML on the migration pages is read as it stands there.
func TestTheConfigurationsOfTheMigrationPagesLoad(t *testing.T) {
	t.Parallel()
	all := blocks(t, filepath.Join("..", ".."), "yaml")
	if len(all) == 0 {
		t.Fatal("no YAML")
	}
	for _, b := range all {
		cfg, err := load.Load(load.Data(b.page, "yaml", []byte(b.text)), load.Environ(nil))
		if err == nil {
			err = cfg.Validate()
		}
		if err != nil {
			t.Errorf("%s, line %d: %v", b.page, b.line, err)
		}
	}
}

// block is a fenced piece of a page.
type block struct {
	page string
	line int // of its text
	text string
}

// blocks finds the pieces of a language on the migration pages.
func blocks(t *testing.T, root, language string) []block {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(root, "docs", "migrate-from-*.md"))
	if err != nil || len(pages) != 2 {
		t.Fatalf("pages %q, %v", pages, err)
	}
	fence := regexp.MustCompile("(?s)```" + language + "\n(.*?)```")
	var all []block
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range fence.FindAllSubmatchIndex(text, -1) {
			all = append(all, block{
				page: filepath.Base(page),
				line: 1 + strings.Count(string(text[:at[2]]), "\n"),
				text: string(text[at[2]:at[3]]),
			})
		}
	}
	return all
}

// side is whose packages a block means.
type side struct {
	packages map[string]string // import paths, by name
	given    []string          // variables
}

func sides() map[string]side {
	const theirs = "github.com/apache/rocketmq-client-go/v2"
	standard := map[string]string{"context": "context", "errors": "errors", "fmt": "fmt", "os": "os", "slog": "log/slog", "time": "time"}
	ours := map[string]string{
		"rocketkit": module, "load": module + "/config/load", "clientgo": module + "/driver/clientgo", "native": module + "/driver/native",
		"otel": "go.opentelemetry.io/otel",
	}
	for _, name := range []string{"admin", "consumer", "producer", "message", "delay", "retry", "txn", "codec", "config", "driver", "trace"} {
		ours[name] = module + "/" + name
	}
	client := map[string]string{"rocketmq": theirs}
	for _, name := range []string{"consumer", "producer", "primitive"} {
		client[name] = theirs + "/" + name
	}
	for name, path := range standard {
		ours[name], client[name] = path, path
	}
	return map[string]side{
		"// rocketkit": {ours, []string{
			"ctx context.Context", "client *rocketkit.Client", "p *producer.Producer", "mux *consumer.Mux", "m *message.Message",
			"onPaid func(context.Context, Payment) error", "cfg rocketkit.Config", "err error",
		}},
		"// rocketmq-client-go": {client, []string{
			"ctx context.Context", "p rocketmq.Producer", "c rocketmq.PushConsumer", "m *primitive.Message", "err error",
		}},
	}
}

// program makes a file of a block.
func (b block) program(t *testing.T) string {
	t.Helper()
	first, rest, _ := strings.Cut(b.text, "\n")
	s, ok := sides()[first]
	if !ok {
		t.Fatalf("%s, line %d: the block begins with %q", b.page, b.line, first)
	}
	given := s.given
	body := fmt.Sprintf("//line %s:%d\n%s", b.page, b.line+1, rest)
	if _, err := parser.ParseFile(token.NewFileSet(), b.page, "package pages\n"+body, 0); err != nil {
		var own []string // what the block declares itself
		for _, names := range b.declared(t, body) {
			fresh := without(names, own)
			if left := without(given, fresh); len(fresh) > 0 && len(given)-len(left) == len(fresh) {
				given = left // := would have nothing to declare
			}
			own = append(own, fresh...)
		}
		var used string // Go refuses variables that nobody uses
		for _, name := range own {
			used += "_ = " + name + "\n"
		}
		body = "func _(" + strings.Join(given, ", ") + ") {\n" + body + used + "}\n"
	}
	imports := ""
	for name, path := range s.packages {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(body) {
			imports += fmt.Sprintf("import %s %q\n", name, path)
		}
	}
	return "package pages\n" + imports + body
}

// declared are the variables that a function's body declares at its top, by
// statement.
func (b block) declared(t *testing.T, body string) [][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), b.page, "package pages\nfunc _() {\n"+body+"}", parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for _, st := range file.Decls[0].(*ast.FuncDecl).Body.List {
		assign, ok := st.(*ast.AssignStmt)
		if !ok || assign.Tok != token.DEFINE {
			continue
		}
		var names []string
		for _, left := range assign.Lhs {
			if name := left.(*ast.Ident).Name; name != "_" {
				names = append(names, name)
			}
		}
		all = append(all, names)
	}
	return all
}

// without drops the variables of those names, with their types or without.
func without(variables, names []string) []string {
	return slices.DeleteFunc(slices.Clone(variables), func(g string) bool {
		name, _, _ := strings.Cut(g, " ")
		return slices.Contains(names, name)
	})
}

// shared writes what the blocks of both sides may use.
func shared(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "shared.go")
	const text = "package pages\n\ntype Payment struct{ Order string }\n\nfunc pay(order string) error { return nil }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
