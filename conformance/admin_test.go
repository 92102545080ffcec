package conformance_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/conformance/apache"
)

// adminRow is a command of mqadmin, or a few that belong together. Each is run by
// the tools of both versions against broker-lite and against Apache 5.4.0, which are
// prepared alike, and must print the same lines about both.
//
// To add a row, append it to the list of a family (adminXxxRows, in a file
// admin_xxx_test.go that adminRows names). Rows are prepared first, all of them; then
// the commands of all rows run, in the order of the rows, in one JVM for each server;
// then the outputs are compared and checked. So a row must use a topic and a group of
// its own, $topic and $group, and undo what other rows would notice.
//
// ROCKETKIT_TEST_DEBUG=1 shows what is printed; ROCKETKIT_MQADMIN=topicList runs only
// the rows whose names match.
type adminRow struct {
	name, about string
	// lines are the commands. The words $ns, $broker, $topic, $group and $dir, a
	// directory for files, are put in; -n $ns is added. What they write there counts
	// as printed. A word with blanks is written with underscores in place of
	// them by way of $_, as in a$_b.
	lines []string
	// since5: the tools of 4.9 do not have the command.
	since5 bool
	// prepare makes what the commands need; nil makes nothing. Clients that it opens
	// live until all rows are compared.
	prepare func(r *adminRun)
	// masks name what may differ from run to run, beyond adminMasks.
	masks []mask
	// only leaves out all lines that do not match; sorted puts them in order.
	only   string
	sorted bool
	// differs are lines that differ with a reason: they are left out of both
	// outputs. One that matches no line of either is a mistake.
	differs []difference
	// fewer says why broker-lite prints only some of Apache's lines; empty: it
	// prints all.
	fewer string
	// check looks at what the commands have printed and done, on each server; nil
	// does not.
	check func(r *adminRun, out string)
}

// mask puts a name in the place of what a pattern matches.
type mask struct{ pattern, name string }

// difference is what lines match that are not compared, and why; tools is the
// version of the tools that show it, both when it is empty.
type difference struct{ tools, pattern, why string }

// adminRows are all rows.
func adminRows() []adminRow {
	return slices.Concat(adminTopicRows(), adminGroupRows(), adminClusterRows(), adminMessageRows(), adminConsumerRows(), adminOtherRows())
}

// adminMasks are values that differ from run to run in every output.
func adminMasks() []mask {
	return []mask{
		{`\b20\d\d-\d\d-\d\d[ #]\d\d:\d\d:\d\d([,:.]\d{3})?`, "TIME"},
		{`\b1[6-9]\d{11}\b`, "MS"}, // since 1970
		{`\b[\w.-]+@\d+(#\d+)?\b`, "CLIENT"},
		{`\b[0-9A-F]{32}\b`, "ID"},
	}
}

// holds is what the file of results says of a row.
func (r adminRow) holds() string {
	text := r.about
	for _, d := range r.differs {
		text += "; differs: " + d.why
	}
	if r.fewer != "" {
		text += "; fewer lines: " + r.fewer
	}
	return text
}

// adminRun is a row on a server.
type adminRun struct {
	*stand
	row          adminRow
	version      string   // of the tools
	topic, group string   // the same on both servers
	dir          string   // for files
	made         []string // of these, by prepare
	more         []string // names that prepare has for commands, each with what it stands for
	in           *inbox   // of the member of $group that prepare has started
	ready        func()   // nil, or what waits for what prepare has begun; all rows wait together
	outputs      []apache.AdminOutput
}

// commands are the row's, with the names put in.
func (r *adminRun) commands() [][]string {
	var all [][]string
	for _, line := range r.row.lines {
		var words []string
		for word := range strings.FieldsSeq(line + " -n $ns") {
			if word = r.names("$_", " ").Replace(word); word != "" {
				words = append(words, word)
			}
		}
		all = append(all, words)
	}
	return all
}

// names puts the names of this run in.
func (r *adminRun) names(more ...string) *strings.Replacer {
	return strings.NewReplacer(append(append(more, r.more...), "$ns", r.server.nameServers[0], "$broker", r.server.broker, "$topic", r.topic, "$group", r.group, "$dir", r.dir)...)
}

// lines are what the commands printed, reduced to what must be the same.
func (r *adminRun) lines() []string {
	hide := strings.NewReplacer(r.dir, "$dir", r.server.nameServers[0], "$ns", r.server.broker, "$broker", r.topic, "$topic", r.group, "$group")
	var lines []string
	for i, o := range r.outputs {
		if i > 0 {
			lines = append(lines, "-- next --")
		}
		if o.Late {
			lines = append(lines, fmt.Sprintf("(not done within %s)", apache.AdminLimit))
		}
		for line := range strings.Lines(o.Out) {
			lines = append(lines, line)
		}
		for line := range strings.Lines(o.Err) {
			if !strings.HasPrefix(line, "\tat ") && !strings.HasPrefix(line, "\t... ") {
				lines = append(lines, "! "+line)
			}
		}
	}
	for _, file := range r.files() {
		if !slices.Contains(r.made, file) {
			text, err := os.ReadFile(file)
			if err != nil {
				r.Fatal(err)
			}
			lines = append(lines, "-- "+file+" --", string(text))
		}
	}
	text := hide.Replace(strings.Join(lines, "\n"))
	for _, m := range append(r.row.masks, adminMasks()...) {
		text = regexp.MustCompile(m.pattern).ReplaceAllString(text, m.name)
	}
	lines = nil
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		if line != "" && regexp.MustCompile(r.row.only).MatchString(line) {
			lines = append(lines, line)
		}
	}
	if r.row.sorted {
		slices.Sort(lines)
	}
	return lines
}

// files are those in the run's directory, sorted.
func (r *adminRun) files() []string {
	var files []string
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return files
}

// file writes a file that the commands read, with the names put in.
func (r *adminRun) file(name, text string) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(r.names().Replace(text)), 0o600); err != nil {
		r.Fatal(err)
	}
}

// out is all that the commands printed.
func (r *adminRun) out() string {
	var b strings.Builder
	for _, o := range r.outputs {
		b.WriteString(o.Out + o.Err)
	}
	return b.String()
}

// says checks that the output matches each pattern, where $broker and the like are
// put in and blanks may be any.
func (r *adminRun) says(out string, patterns ...string) {
	r.Helper()
	for _, p := range patterns {
		q := strings.NewReplacer("$broker", regexp.QuoteMeta(r.server.broker), "$topic", regexp.QuoteMeta(r.topic),
			"$group", regexp.QuoteMeta(r.group), " ", `\s+`).Replace(p)
		if !regexp.MustCompile(`(?m)` + q).MatchString(out) {
			r.Errorf("the output does not match %q:\n%s", p, out)
			return
		}
	}
}

// adminServer is a server that rows run on.
type adminServer struct {
	leg    *leg
	server *server
}

func TestMQAdmin(t *testing.T) {
	apache.Require(t)
	takeLane(t)
	servers := []adminServer{
		{legNamed("broker-lite"), startLite(t, newLog(t), false, brokerlite.Conf("traceTopicEnable=true"))},
		{legNamed("Apache 5.4.0"), startApache(t, apache.V5)},
	}
	only := regexp.MustCompile(os.Getenv("ROCKETKIT_MQADMIN"))
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			var rows []adminRow
			for _, row := range adminRows() {
				switch {
				case !only.MatchString(row.name):
				case row.since5 && version == apache.V4:
					continue // the file of results says so in any case
				default:
					rows = append(rows, row)
				}
			}
			lite := runAdmin(t, version, servers[0], rows)
			real := runAdmin(t, version, servers[1], rows)
			for i, row := range rows {
				t.Run(strings.ReplaceAll(row.name, " ", "_"), func(t *testing.T) {
					results.track(t, mqadminTable, version, row.name)
					compareAdmin(t, row, lite[i], real[i])
				})
			}
		})
	}
}

// runAdmin prepares all rows on one server and runs their commands.
func runAdmin(t *testing.T, version string, on adminServer, rows []adminRow) []*adminRun {
	t.Helper()
	var runs []*adminRun
	var commands [][]string
	for _, row := range rows {
		name := regexp.MustCompile(`\W+`).ReplaceAllString(row.name+"_"+version, "_")
		r := &adminRun{
			stand: &stand{T: t, leg: on.leg, c: testCase{name: name}, server: on.server, log: newLog(t)},
			row:   row, version: version, topic: "t_" + name, group: "g_" + name, dir: t.TempDir(),
		}
		if row.prepare != nil {
			row.prepare(r)
		}
		r.made = r.files()
		runs = append(runs, r)
		commands = append(commands, r.commands()...)
	}
	for _, r := range runs {
		if r.ready != nil {
			r.ready()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	begun := time.Now()
	outputs, err := apache.AdminAll(ctx, version, append(commands, []string{"commands"}))
	if err != nil {
		t.Fatal(err)
	}
	compareCommands(t, outputs[len(commands)])
	t.Logf("%d commands on %s in %s", len(commands), on.leg.name, time.Since(begun).Round(time.Millisecond))
	for i, o := range outputs[:len(commands)] {
		if o.Took > 2*time.Second {
			t.Logf("%q took %s", commands[i], o.Took)
		}
	}
	for _, r := range runs {
		n := len(r.row.lines)
		r.outputs, outputs = outputs[:n], outputs[n:]
	}
	return runs
}

func compareAdmin(t *testing.T, row adminRow, lite, real *adminRun) {
	t.Helper()
	lite.T, real.T = t, t
	got, want := lite.lines(), real.lines()
	for _, d := range row.differs {
		if d.tools != "" && d.tools != lite.version {
			continue
		}
		is := regexp.MustCompile(d.pattern).MatchString
		if !slices.ContainsFunc(slices.Concat(got, want), is) {
			t.Errorf("no line matches %q any longer; it is said to differ: %s", d.pattern, d.why)
		}
		got, want = slices.DeleteFunc(got, is), slices.DeleteFunc(want, is)
	}
	if row.fewer != "" {
		want = slices.DeleteFunc(want, func(line string) bool { return !slices.Contains(got, line) })
		if len(want) == len(real.lines()) {
			t.Errorf("broker-lite prints all lines; it is said to print fewer: %s", row.fewer)
		}
	}
	for _, r := range []*adminRun{lite, real} {
		if slices.ContainsFunc(r.outputs, func(o apache.AdminOutput) bool { return o.Refused }) {
			t.Errorf("a command line is wrong: %s", r.out())
		}
		if row.check != nil {
			row.check(r, r.out())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("broker-lite (+) differs from Apache (-)\n%s", diff)
	}
	if os.Getenv("ROCKETKIT_TEST_DEBUG") != "" {
		t.Logf("of broker-lite:\n%s\nof Apache:\n%s\ncompared:\n%s", lite.out(), real.out(), strings.Join(got, "\n"))
	}
}

func TestMQAdminRowsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	var names []string
	for _, row := range adminRows() {
		if row.name == "" || row.about == "" || len(row.lines) == 0 || slices.Contains(names, row.name) {
			t.Errorf("row %q (%s): no name, no description, no command or the name of another", row.name, row.about)
		}
		for _, d := range row.differs {
			if d.why == "" {
				t.Errorf("row %q leaves %q out and does not say why", row.name, d.pattern)
			}
		}
		names = append(names, row.name)
	}
}
