package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// span is a piece of code within a line of a page.
type span struct {
	page string
	line int
	row  string // what the line begins with, for messages
	text string
}

func (s span) problem(format string, args ...any) string {
	return fmt.Sprintf("%s, line %d, %s: `%s`: %s", s.page, s.line, s.row, s.text, fmt.Sprintf(format, args...))
}

// row is a line of a table.
type row struct {
	page  string
	line  int
	heads []string // of the columns
	cells []string
}

// rows finds the lines of a page's tables.
func rows(page, text string) []row {
	var all []row
	var heads []string
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") {
			heads = nil
			continue
		}
		cells := cellsOf(line)
		switch {
		case heads == nil:
			heads = cells
		case !strings.HasPrefix(line, "|-"):
			all = append(all, row{page, i + 1, heads, cells})
		}
	}
	return all
}

// cellsOf takes a line of a table apart; a pipe in a cell is written \|.
func cellsOf(line string) []string {
	line = strings.ReplaceAll(strings.Trim(strings.TrimSpace(line), "|"), `\|`, "\x00")
	cells := strings.Split(line, "|")
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(strings.TrimSpace(c), "\x00", "|")
	}
	return cells
}

// last is the cell of the rightmost column.
func (r row) last() string { return r.cells[len(r.cells)-1] }

// name says which row it is.
func (r row) name() string {
	return "the row of " + strings.Trim(strings.Join(r.cells[:len(r.cells)-1], " "), " ")
}

func (r row) problem(format string, args ...any) string {
	return fmt.Sprintf("%s, line %d, %s: %s", r.page, r.line, r.name(), fmt.Sprintf(format, args...))
}

// ours are the spans in the rightmost column.
func (r row) ours() []span {
	var all []span
	for _, text := range spansOf(r.last()) {
		all = append(all, span{r.page, r.line, r.name(), text})
	}
	return all
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

func spansOf(text string) []string {
	var all []string
	for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// prose are the spans of a page outside of its blocks, and outside of the tables whose
// rightmost column is headed so, since those have the names of two sides.
func prose(page, text, heading string) []span {
	compared := map[int]bool{}
	for _, r := range rows(page, text) {
		compared[r.line] = r.heads[len(r.heads)-1] == heading
	}
	var all []span
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if fenced || compared[i+1] {
			continue
		}
		for _, found := range spansOf(line) {
			all = append(all, span{page, i + 1, fmt.Sprintf("%.30q", line), found})
		}
	}
	return all
}

// isGo reports whether a span is Go that uses a package of this module or a variable that
// it is given; a method of a type, such as Consumer.Pause, is one of a variable.
func (s span) isGo() bool {
	expr, err := parser.ParseExpr(s.goText())
	if err != nil {
		return false
	}
	name := "" // behind the package or the variable
	for {
		switch e := expr.(type) {
		case *ast.SelectorExpr:
			expr, name = e.X, e.Sel.Name
		case *ast.CallExpr:
			expr = e.Fun
		case *ast.IndexExpr:
			expr = e.X
		case *ast.CompositeLit:
			expr = e.Type
		case *ast.Ident:
			_, isPackage := ourSide().packages[e.Name]
			return ast.IsExported(name) && (isPackage || slices.ContainsFunc(s.given(), func(g string) bool {
				return strings.HasPrefix(g, e.Name+" ")
			}))
		default:
			return false
		}
	}
}

// goText is the span with a variable for a type.
func (s span) goText() string {
	name, rest, found := strings.Cut(s.text, ".")
	if variable, ok := variableOf()[name]; ok && found {
		return variable + "." + rest
	}
	return s.text
}

// variableOf are the variables for types.
func variableOf() map[string]string {
	return map[string]string{
		"Client": "client", "Config": "cfg", "Producer": "p", "Publisher": "payments", "Mux": "mux", "Consumer": "c", "Fetcher": "f",
		"Puller": "r", "SimpleConsumer": "s", "Batch": "b", "Delivery": "d",
	}
}

// given are the variables that a span knows.
func (s span) given() []string {
	own := []string{"t time.Time", "d *message.Delivery"}
	if s.page == "testing.md" {
		own = []string{"t testing.TB", "d time.Duration", "mq *rocketkittest.Server", "match brokerlite.Match", "reaction brokerlite.Reaction"}
	}
	return append(append(own, ourSide().given...),
		"payments *producer.Publisher[Payment]", "c *consumer.Consumer", "f *consumer.Fetcher", "r *consumer.Puller", "s *consumer.SimpleConsumer",
		"b *consumer.Batch[Payment]", "kind *txn.Kind", "ms []*message.Message", "h delay.Handle", "topic string", "name string", "group string",
		"l *slog.Logger", "mw consumer.Middleware", "onBatch consumer.BatchFunc[Payment]", "onDead func(context.Context, *message.Delivery) error",
		"callback producer.Callback", "local txn.Local", "check txn.Check", "store dedup.Store", "handlers struct{ Paid consumer.Func[Payment] `topic:\"payments\"` }",
		"key func(*message.Delivery) string", "selector producer.QueueSelector", "interceptor producer.Interceptor", "ds []*message.Delivery",
		"db *sql.DB", "lookup func(string) (string, bool)", "subs []consumer.Subscription", "body []byte", "onDelivery consumer.Handler",
	)
}

// spanProgram makes a file of spans, each of which stands in a function of its own, and
// tags above one.
func spanProgram(spans []span) string {
	var body strings.Builder
	for i, s := range spans {
		if s.isTag() {
			fmt.Fprintf(&body, "%s\nfunc handler%d(context.Context, string) error { return nil }\n", s.directive(), i)
			continue
		}
		fmt.Fprintf(&body, "//line given:1\nfunc _(%s) {\n//line %s:%d\n%s\n}\n", strings.Join(s.given(), ", "), s.page, s.line, s.statement())
	}
	return ourSide().file(body.String())
}

// goProblems are what the compiler says, with the rows of the spans.
func goProblems(spans []span, said string) []string {
	onPage := regexp.MustCompile(`([\w-]+\.md):(\d+):(?:\d+:)? (.*)`)
	var all []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		m := onPage.FindStringSubmatch(line)
		at := -1
		if m != nil {
			at = slices.IndexFunc(spans, func(s span) bool { return s.page == m[1] && strconv.Itoa(s.line) == m[2] })
		}
		switch {
		case at >= 0:
			s := spans[at]
			all = append(all, fmt.Sprintf("%s, line %d, %s: %s", s.page, s.line, s.row, m[3]))
		case !strings.HasPrefix(line, "#"): // which package it is
			all = append(all, line)
		}
	}
	return all
}

// statement uses the span.
func (s span) statement() string {
	text := s.goText()
	expr, err := parser.ParseExpr(text)
	if err != nil {
		return text // the compiler says why
	}
	if _, ok := expr.(*ast.CallExpr); ok {
		return text
	}
	pkg, name, _ := strings.Cut(text, ".")
	kind, parameters := declaration(ourSide().packages[pkg], name)
	if parameters {
		text += "[Payment]"
	}
	if kind == "type" {
		return "var _ " + text
	}
	return "_ = " + text
}

// declaration says how a package of this module declares a name, as a type or a func, and
// whether that has type parameters.
func declaration(path, name string) (kind string, parameters bool) {
	dir, ours := strings.CutPrefix(path, module)
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "*.go"))
	if err != nil || !ours {
		return "", false
	}
	declared := regexp.MustCompile(`(?m)^(func|type) ` + regexp.QuoteMeta(name) + `(\[)?\b`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if m := declared.FindSubmatch(source); err == nil && m != nil && !strings.HasSuffix(file, "_test.go") {
			return string(m[1]), len(m[2]) > 0
		}
	}
	return "", false
}
