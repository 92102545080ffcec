package conformance_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/conformance/java"
	"github.com/rocketkit/rocketkit/conformance/peers"
)

// matrixFile shows what passes where.
const matrixFile = "../docs/conformance.md"

// Outcomes of a cell; a case that does not apply says why after notApplicable.
const (
	passed        = "pass"
	failed        = "FAIL"
	notRun        = "not run"
	notApplicable = "n/a: "
)

// table is one of the file's.
type table struct {
	title, about string
	columns      []string
	rows         []row
}

type row struct{ name, about string }

// cell is a place in a table.
type cell struct{ table, column, row string }

// board takes the outcomes of a run.
type board struct {
	mu    sync.Mutex // guards the following
	cells map[cell]string
}

func newBoard() *board { return &board{cells: map[cell]string{}} }

func (b *board) note(table, column, row, outcome string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cells[cell{table, column, row}] = outcome
}

// track notes how a test ends.
func (b *board) track(t *testing.T, table, column, row string) {
	b.note(table, column, row, failed) // should it end otherwise
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() {
			b.note(table, column, row, passed)
		}
	})
}

func (b *board) at(c cell) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if outcome, ok := b.cells[c]; ok {
		return outcome
	}
	return notRun
}

// The tables' titles.
const (
	sdkTable      = "The SDK"
	javaTable     = "Apache's Java client on broker-lite"
	mqadminTable  = "Apache's mqadmin on broker-lite"
	clientGoTable = "rocketmq-client-go on broker-lite"
	clusterTable  = "broker-lite and Apache in one cluster"
	tlsTable      = "TLS, accounts and the VIP channel"
	killTable     = "Processes that are killed"
)

// tables are those of the file, with every row that there is in the sources.
func tables() ([]table, error) {
	sdk := table{title: sdkTable, about: "Each case is written once, against the public API, and runs on every server and driver that it applies to. The driver is native unless the column says otherwise."}
	for _, l := range legs() {
		sdk.columns = append(sdk.columns, l.name)
	}
	for _, c := range cases() {
		sdk.rows = append(sdk.rows, row{c.name, c.about})
	}
	javaPeer := table{title: javaTable, about: "The cases of conformance/java/peer, by both versions and in both header codecs, and signed on a broker-lite with ACL; the last two columns are the same program on Apache's own server.", columns: javaColumns()}
	names, err := javaCases()
	javaPeer.rows = rowsOf(names)
	admin := table{title: mqadminTable, columns: []string{apache.V5, apache.V4}, about: "The tools of both versions print the same lines about broker-lite as about Apache 5.4.0 that is prepared alike, but for values that differ from run to run and for what the row says. Rows with a code are what dashboards ask by way of the tools' library." + withoutRow()}
	for _, c := range adminRows() {
		admin.rows = append(admin.rows, row{c.name, c.holds()})
	}
	goNames, err2 := clientGoCases()
	clientGo := table{title: clientGoTable, columns: peers.ClientGoVersions(), about: "The cases of conformance/peers/clientgo.", rows: rowsOf(goNames)}
	kill := table{title: killTable, columns: []string{"broker-lite"}, about: "`rocketkit server` is killed with SIGKILL under load and started again on its directory: 3 rounds here, 50 with `make soak`. Members of a group come and go for 10 s here and for 60 s there.", rows: []row{{killCase, killAbout}, {membersCase, membersAbout}}}
	cluster := table{title: clusterTable, columns: []string{apache.V5, apache.V4}, about: "A name server and a broker of each kind.", rows: clusterRows()}
	secure := table{title: tlsTable, columns: []string{apache.V5, apache.V4}, about: "The Java client, the tools or the server are Apache's of the column.", rows: tlsRows()}
	for _, err := range []error{err, err2} {
		if err != nil {
			return nil, err
		}
	}
	return []table{sdk, javaPeer, admin, clientGo, cluster, secure, kill}, nil
}

func rowsOf(names []string) []row {
	var rows []row
	for _, n := range names {
		rows = append(rows, row{name: n})
	}
	return rows
}

func javaColumns() []string {
	var columns []string
	for _, version := range []string{apache.V5, apache.V4} {
		signed, _ := signedColumn(version)
		columns = append(columns, version+", JSON", version+", binary", signed)
	}
	return append(columns, javaOnApache(apache.V5), javaOnApache(apache.V4))
}

// javaOnApache is the column of a client on the server of its own version.
func javaOnApache(version string) string { return version + " on Apache " + version }

// javaCases reads the names from the Java sources, in the order in which Peer.java
// puts them.
func javaCases() ([]string, error) {
	peer, err := java.Sources.ReadFile("peer/Peer.java")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, class := range regexp.MustCompile(`(\w+Cases)\.add\(m\)`).FindAllSubmatch(peer, -1) {
		source, err := java.Sources.ReadFile("peer/" + string(class[1]) + ".java")
		if err != nil {
			return nil, err
		}
		for _, m := range regexp.MustCompile(`m\.put\("([^"]+)"`).FindAllSubmatch(source, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names, nil
}

// clientGoCases reads the names from the program's sources.
func clientGoCases() ([]string, error) {
	source, err := os.ReadFile("peers/clientgo/env.go")
	if err != nil {
		return nil, err
	}
	list := regexp.MustCompile(`(?s)var cases = \[\]namedCase\{(.*?)\n\}`).FindSubmatch(source)
	if list == nil {
		return nil, fmt.Errorf("peers/clientgo/env.go has no list of cases")
	}
	var names []string
	for _, m := range regexp.MustCompile(`\{"([^"]+)",`).FindAllSubmatch(list[1], -1) {
		names = append(names, string(m[1]))
	}
	return names, nil
}

// withStatic adds the cells that are not applicable whatever is run.
func (b *board) withStatic() *board {
	full := newBoard()
	b.mu.Lock()
	for c, outcome := range b.cells {
		full.cells[c] = outcome
	}
	b.mu.Unlock()
	for _, l := range legs() {
		for _, c := range cases() {
			if lacking := l.lacks(c); lacking != 0 {
				full.note(sdkTable, l.name, c.name, notApplicable+lacking.String())
			}
		}
	}
	full.note(tlsTable, apache.V4, aclSDK, notApplicable+"ACL 2.0 came with 5.3; that of 4.9 is a case of the SDK, signed requests")
	for _, r := range adminRows() {
		if r.since5 {
			full.note(mqadminTable, apache.V4, r.name, notApplicable+"the tools of 4.9 do not have the command")
		}
	}
	return full
}

// render is the file's text.
func (b *board) render() (string, error) {
	all, err := tables()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString("# Conformance\n\nWhat passes where. Generated by `make conformance`; do not edit.\n\n" +
		"*pass*: ran and passed when this file was written. *n/a*: does not apply there, for the reason behind the letter. *not run*: was left out.\n")
	for _, t := range all {
		b.renderTable(&out, t)
	}
	return out.String(), nil
}

func (b *board) renderTable(out *strings.Builder, t table) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n\n", t.title, t.about)
	abouts := slices.ContainsFunc(t.rows, func(r row) bool { return r.about != "" })
	head := []string{"case"}
	if abouts {
		head = append(head, "what holds")
	}
	head = append(head, t.columns...)
	fmt.Fprintf(out, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("-|", len(head)))
	var reasons []string
	for _, r := range t.rows {
		line := []string{r.name}
		if abouts {
			line = append(line, strings.ReplaceAll(r.about, "|", `\|`))
		}
		for _, column := range t.columns {
			outcome := b.at(cell{t.title, column, r.name})
			if why, ok := strings.CutPrefix(outcome, notApplicable); ok {
				i := slices.Index(reasons, why)
				if i < 0 {
					i = len(reasons)
					reasons = append(reasons, why)
				}
				outcome = "n/a (" + letter(i) + ")"
			}
			line = append(line, outcome)
		}
		fmt.Fprintf(out, "| %s |\n", strings.Join(line, " | "))
	}
	for i, why := range reasons {
		if i == 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintf(out, "- (%s) %s\n", letter(i), why)
	}
}

// letter is a reason's name: a to z, then aa, ab and so on.
func letter(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return letter(i/26-1) + letter(i%26)
}

// write replaces the file by this run's results. When only some tests ran (-run),
// the cells of the others stay as they are.
func (b *board) write() error {
	full := b.withStatic()
	if given("test.run") {
		text, err := os.ReadFile(matrixFile)
		if err != nil {
			return err
		}
		for c, outcome := range written(string(text)) {
			if full.at(c) == notRun {
				full.note(c.table, c.column, c.row, outcome)
			}
		}
	}
	text, err := full.render()
	if err != nil {
		return err
	}
	return os.WriteFile(matrixFile, []byte(text), 0o644)
}

// written reads the cells of the file's text.
func written(text string) map[cell]string {
	cells := map[cell]string{}
	for title, body := range sections(text) {
		reasons := map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^- \((\w+)\) (.*)$`).FindAllStringSubmatch(body, -1) {
			reasons["n/a ("+m[1]+")"] = notApplicable + m[2]
		}
		var head []string
		for line := range strings.Lines(body) {
			line, ok := strings.CutPrefix(strings.TrimSpace(line), "| ")
			if !ok {
				continue
			}
			fields := strings.Split(strings.TrimSuffix(line, " |"), " | ")
			if head == nil {
				head = fields
				continue
			}
			for i, column := range head {
				if i == 0 || column == "what holds" || len(fields) != len(head) {
					continue
				}
				outcome := fields[i]
				if why, ok := reasons[outcome]; ok {
					outcome = why
				}
				cells[cell{title, column, fields[0]}] = outcome
			}
		}
	}
	return cells
}

// sections splits the file by its titles.
func sections(text string) map[string]string {
	parts := map[string]string{}
	for i, part := range strings.Split(text, "\n## ") {
		if i > 0 {
			title, rest, _ := strings.Cut(part, "\n")
			parts[title] = strings.TrimSpace(rest)
		}
	}
	return parts
}

// The committed file has exactly the cases that there are; each passes or does not
// apply.
func TestMatrix(t *testing.T) {
	t.Parallel()
	if *update {
		return // it is being written
	}
	text, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	all, err := tables()
	if err != nil {
		t.Fatal(err)
	}
	ideal := newBoard().withStatic()
	for _, tab := range all {
		for _, column := range tab.columns {
			for _, r := range tab.rows {
				if ideal.at(cell{tab.title, column, r.name}) == notRun {
					ideal.note(tab.title, column, r.name, passed)
				}
			}
		}
	}
	want, err := ideal.render()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(normal(want), normal(string(text))); diff != "" {
		t.Errorf("%s is not what the cases say; run make conformance (-want +got)\n%s", matrixFile, diff)
	}
}

// normal leaves out what only a run can know: why a foreign client's case does not
// apply.
func normal(text string) []string {
	var lines []string
	for title, body := range sections(text) {
		for line := range strings.Lines(body) {
			line = strings.TrimSpace(line)
			if title != sdkTable {
				if strings.HasPrefix(line, "- (") || line == "" {
					continue
				}
				line = regexp.MustCompile(`n/a \(\w+\)`).ReplaceAllString(line, passed)
			}
			lines = append(lines, title+": "+line)
		}
	}
	slices.Sort(lines)
	return lines
}

func TestCellsOfTheFileAreReadBack(t *testing.T) {
	t.Parallel()
	b := newBoard()
	b.note(javaTable, javaOnApache(apache.V5), "dead-letter", passed)
	all, err := tables()
	if err != nil {
		t.Fatal(err)
	}
	for _, tab := range all {
		if tab.title != javaTable {
			continue
		}
		for i, r := range tab.rows { // more reasons than letters
			b.note(javaTable, apache.V4+", JSON", r.name, notApplicable+fmt.Sprint("it cannot ", i))
		}
	}
	b = b.withStatic()
	text, err := b.render()
	if err != nil {
		t.Fatal(err)
	}
	got := written(text)
	for c, outcome := range b.cells {
		if got[c] != outcome {
			t.Errorf("%v: %q, want %q", c, got[c], outcome)
		}
	}
}
