package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/config/load"
	"github.com/rocketkit/rocketkit/internal/generate"
)

// The Go of the pages compiles. On the migration pages each block begins with the comment
// "// rocketkit" or "// rocketmq-client-go", which says whose packages it means; a block
// is what a file declares, or what stands in a function that knows the variables of
// side.given. Spans within the text are expressions.
func TestTheGoOfThePagesCompiles(t *testing.T) {
	t.Parallel()
	var programs []string
	for _, b := range blocks(t, filepath.Join("..", ".."), "go") {
		programs = append(programs, b.program(t))
	}
	if want := 35; len(programs) < want {
		t.Fatalf("%d blocks, want %d at least", len(programs), want)
	}
	spans := pagesSpans(t)
	if want := 200; len(spans) < want {
		t.Errorf("%d spans, want %d at least", len(spans), want)
	}
	for _, problem := range goProblems(spans, build(t, append(programs, spanProgram(spans)))) {
		t.Error(problem)
	}
}

// pagesSpans are the spans of Go on the pages that speak of the API.
func pagesSpans(t *testing.T) []span {
	t.Helper()
	var all []span
	for _, name := range []string{"../README.md", "design.md", "errors.md", "faults.md", "conformance.md", "bench.md", "grafana/README.md", "../CONTRIBUTING.md", "protocol.md", "server.md", "../examples/README.md", "testing.md", springPage, clientgoPage} {
		text, base := page(t, name), filepath.Base(name)
		for _, r := range rows(base, text) {
			code, _ := r.check() // what it says otherwise is said by the page's own test
			all = append(all, code...)
		}
		if name == clientgoPage {
			continue // its prose has the names of both sides
		}
		for _, s := range prose(base, text, "rocketkit") {
			if s.isGo() {
				all = append(all, s)
			}
		}
	}
	return all
}

// build compiles files as one package of a module of its own, with what "rocketkit
// generate" writes for their directives, and returns what the compiler says.
func build(t *testing.T, programs []string) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, program := range append(programs, shared) {
		write(fmt.Sprintf("program%d.go", i), program)
	}
	for _, name := range []string{"go.mod", "go.sum"} { // the same versions
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, strings.Replace(string(text), "module "+module+"\n",
			fmt.Sprintf("module pages\n\nrequire %s v0.0.0\n\nreplace %[1]s => %q\n", module, root), 1))
	}
	said := ""
	files, err := generate.Files(t.Context(), dir, ".")
	if err != nil {
		said = err.Error() + "\n"
	}
	for _, f := range files {
		write("rocketmq_gen.go", string(f.Want))
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-e", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return said + string(out)
}

// shared is what the blocks of both sides may use.
const shared = "package pages\n\ntype Payment struct{ Order string }\n\ntype Order = Payment\n\nfunc pay(order string) error { return nil }\n"

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

// standard are the packages that both sides may use.
func standard() map[string]string {
	return map[string]string{"context": "context", "errors": "errors", "fmt": "fmt", "math": "math", "os": "os", "slog": "log/slog", "sql": "database/sql", "testing": "testing", "time": "time"}
}

// ourSide is rocketkit's.
func ourSide() side {
	ours := map[string]string{
		"rocketkit": module, "load": module + "/config/load", "clientgo": module + "/driver/clientgo", "native": module + "/driver/native",
		"brokerlite": module + "/broker-lite", "otel": "go.opentelemetry.io/otel",
	}
	for _, name := range []string{
		"admin", "codec", "config", "consumer", "dedup", "delay", "dlq", "driver", "health", "message", "outbox", "producer", "retry", "rocketkittest", "trace", "txn", "wireset",
	} {
		ours[name] = module + "/" + name
	}
	maps.Copy(ours, standard())
	return side{ours, []string{
		"ctx context.Context", "client *rocketkit.Client", "p *producer.Producer", "mux *consumer.Mux", "m *message.Message",
		"onPaid func(context.Context, Payment) error", "cfg rocketkit.Config", "err error",
	}}
}

// sides are whose packages a block may mean, by its first line.
func sides() map[string]side {
	const theirs = "github.com/apache/rocketmq-client-go/v2"
	client := map[string]string{"rocketmq": theirs}
	for _, name := range []string{"consumer", "producer", "primitive"} {
		client[name] = theirs + "/" + name
	}
	maps.Copy(client, standard())
	return map[string]side{
		"// rocketkit": ourSide(),
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
	return s.file(body)
}

// file puts the imports before what uses them.
func (s side) file(body string) string {
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
