package rocketkit_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v3"
)

// exported are the names of metrics as Prometheus has them, each with its labels.
type exported map[string]map[string]bool

func (e exported) add(name string, labels ...string) {
	if e[name] == nil {
		e[name] = map[string]bool{"job": true, "instance": true}
	}
	for _, l := range labels {
		e[name][l] = true
	}
}

// fromOTel has the names that OpenTelemetry's Prometheus exporter and collector make:
// underscores for dots, a unit that is a word, _total for counters.
func fromOTel(t *testing.T, byName map[string]metricdata.Metrics) exported {
	t.Helper()
	e, word := exported{}, strings.NewReplacer(".", "_")
	names := func(set attribute.Set) (labels []string) {
		for _, kv := range set.ToSlice() {
			labels = append(labels, word.Replace(string(kv.Key)))
		}
		return labels
	}
	for _, m := range byName {
		name := word.Replace(m.Name)
		switch {
		case m.Unit == "s":
			name += "_seconds"
		case !strings.HasPrefix(m.Unit, "{"):
			t.Errorf("%s has the unit %q, whose suffix this test does not know", m.Name, m.Unit)
		}
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			if data.IsMonotonic {
				name += "_total"
			}
			for _, p := range data.DataPoints {
				e.add(name, names(p.Attributes)...)
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				e.add(name+"_count", names(p.Attributes)...)
				e.add(name+"_sum", names(p.Attributes)...)
				e.add(name+"_bucket", append(names(p.Attributes), "le")...)
			}
		default:
			t.Errorf("%s is a %T", m.Name, m.Data)
		}
	}
	return e
}

var sample = regexp.MustCompile(`(?m)^([a-z_]+)\{([^}]*)\} `)

// fromScrape reads what a server tells.
func fromScrape(text string) exported {
	e := exported{}
	for _, m := range sample.FindAllStringSubmatch(text, -1) {
		e.add(m[1])
		for _, l := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(m[2], -1) {
			e.add(m[1], l[1])
		}
	}
	return e
}

// query is an expression of PromQL, with what is shown of its results.
type query struct{ expr, shown string }

// dashboard reads the queries of a Grafana dashboard.
func dashboard(t *testing.T, name string) (all []query) {
	t.Helper()
	var d struct {
		Templating struct {
			List []struct{ Type, Query string }
		}
		Panels []struct {
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(document(t, name), &d); err != nil {
		t.Fatal(err)
	}
	values := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			m := values.FindStringSubmatch(v.Query)
			if m == nil {
				t.Fatalf("%s: variable %q", name, v.Query)
			}
			all = append(all, query{fmt.Sprintf("sum by (%s) (%s)", m[2], m[1]), ""})
		}
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			all = append(all, query{q.Expr, q.LegendFormat})
		}
	}
	return all
}

// alerts reads the rules of a group.
func alerts(t *testing.T, group string) (all []query) {
	t.Helper()
	var f struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(document(t, "alerts.yml"), &f); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			if g.Name == group {
				all = append(all, query{r.Expr, strings.Join(slices.Sorted(maps.Values(r.Annotations)), " ")})
			}
		}
	}
	return all
}

func document(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("docs", "grafana", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var (
	ofNoName = regexp.MustCompile(`"[^"]*"|\[[^\]]*\]|\b[0-9][0-9.]*\b`) // strings, ranges, numbers
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right) *\(([^)]*)\)`)
	selector = regexp.MustCompile(`([a-z_:]+)(?:\{([^}]*)\})?`)
	shown    = regexp.MustCompile(`\{\{ *(?:\$labels\.)?([a-z_]+) *\}\}`)
)

// mistakes are the metrics and labels of a query that are not exported.
func (e exported) mistakes(q query) (wrong []string) {
	expr := ofNoName.ReplaceAllString(q.expr, "")
	var named []string // labels that the result is said to have
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(m[1], ",") {
			named = append(named, strings.TrimSpace(l))
		}
	}
	for _, m := range shown.FindAllStringSubmatch(q.shown, -1) {
		if len(named) > 0 && !slices.Contains(named, m[1]) {
			wrong = append(wrong, "shows "+m[1]+", which is summed up")
		}
		named = append(named, m[1])
	}
	var metrics []string
	rest := grouping.ReplaceAllString(expr, "")
	for _, at := range selector.FindAllStringSubmatchIndex(rest, -1) {
		name := rest[at[2]:at[3]]
		after := strings.TrimSpace(rest[at[1]:])
		if strings.HasPrefix(after, "(") && at[4] < 0 || slices.Contains([]string{"unless", "and", "or", "sum", "max"}, name) {
			continue // a function or an operator
		}
		if e[name] == nil {
			wrong = append(wrong, name+" is not exported")
			continue
		}
		metrics = append(metrics, name)
		if at[4] < 0 {
			continue
		}
		for _, m := range strings.Split(rest[at[4]:at[5]], ",") {
			if l := strings.TrimSpace(strings.TrimRight(m, "=!~ ")); !e[name][l] {
				wrong = append(wrong, name+" has no label "+l)
			}
		}
	}
	for _, l := range named {
		for _, name := range metrics {
			if !e[name][l] {
				wrong = append(wrong, name+" has no label "+l)
			}
		}
	}
	if len(metrics) == 0 {
		wrong = append(wrong, "no metric")
	}
	return wrong
}

// monitored checks the dashboard and the alert rules of a name.
func monitored(t *testing.T, e exported, name string, used map[string]bool) {
	t.Helper()
	rules := alerts(t, name)
	if len(rules) < 5 {
		t.Errorf("%d alert rules of group %s", len(rules), name)
	}
	for _, q := range append(dashboard(t, name+".json"), rules...) {
		for _, wrong := range e.mistakes(q) {
			t.Errorf("%s: %s\n\tin %s", name, wrong, q.expr)
		}
		for metric := range e {
			if strings.Contains(q.expr, metric) {
				used[metric] = true
			}
		}
	}
}

// What this test would not notice is what it is for.
func TestQueriesOfMetricsThatAreNotExportedAreNoticed(t *testing.T) {
	t.Parallel()
	e := exported{}
	e.add("lag", "group", "topic")
	e.add("sent_bucket", "le", "topic")
	for expr, want := range map[string]string{
		`sum by (group) (lag{topic=~"$topic"}) > 10`:                                      "",
		`histogram_quantile(0.99, sum by (le, topic) (rate(sent_bucket{topic!=""}[5m])))`: "",
		`sum(leg)`:             "leg is not exported",
		`lag{tropic="a"}`:      "lag has no label tropic",
		`sum by (grope) (lag)`: "lag has no label grope",
		`sum by (group) (lag) / sum by (group) (sent_bucket)`: "sent_bucket has no label group",
		`1 > 0`: "no metric",
	} {
		if got := strings.Join(slices.Compact(e.mistakes(query{expr, ""})), ", "); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
	if got := e.mistakes(query{`sum by (group) (lag)`, "{{topic}}"}); len(got) != 1 {
		t.Errorf("a label that is shown and summed up: %q", got)
	}
}
