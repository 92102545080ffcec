package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The migration pages.
const (
	springPage   = "migrate-from-rocketmq-spring.md"
	clientgoPage = "migrate-from-rocketmq-client-go.md"
)

// Each name of rocketmq-spring has a row in the table of all names, and what stands
// beside it there is Go, which TestTheGoOfThePagesCompiles compiles, a tag that
// consumer.Bind reads, or a key that loads.
func TestEveryNameOfRocketmqSpringHasARow(t *testing.T) {
	t.Parallel()
	for _, problem := range springProblems(t, page(t, springPage)) {
		t.Error(problem)
	}
}

// So is what stands in the tables of the page for rocketmq-client-go, which has no list
// of names.
func TestTheTablesForRocketmqClientGoHold(t *testing.T) {
	t.Parallel()
	for _, r := range rows(clientgoPage, page(t, clientgoPage)) {
		_, problems := r.check()
		for _, problem := range problems {
			t.Error(problem)
		}
	}
}

// What is wrong on the page is said with the row that it is in.
func TestASlipInATableIsSaidWithItsRow(t *testing.T) {
	t.Parallel()
	slips := []struct{ page, slip, row, want string }{
		{"`consumer.Ordered()`", "`consumer.Orderd()`", "`consumeMode`", "undefined: consumer.Orderd"},
		{"`client.NewFetcher(", "`client.NewFetchers(", "`rocketmq.consumer.group`", "client.NewFetchers undefined"},
		{"`consumer.MaxRetries(16)`", "`consumer.MaxRetries(\"16\")`", "`maxReconsumeTimes`", "cannot use \"16\""},
		{"`timeout:\"15m\"`", "`timeot:\"15m\"`", "`consumeTimeout`", "no tag of consumer.Bind"},
		{"`retries:\"16\"`", "`retry:\"16\"`", "`maxReconsumeTimes`", "retry is not known; did you mean retries?"},
		{"`concurrency:\"20\"`", "`concurrency:\"many\"`", "`consumeThreadNumber`", `"many"`},
		{"`producer.send_timeout: 3s`", "`producer.send_timeot: 3s`", "`rocketmq.producer.send-message-timeout`", `the nearest is "producer.send_timeout"`},
		{"`producer.max_message_size: 4MiB`", "`producer.compress_over: 4MiB`", "`rocketmq.producer.max-message-size`", "sets producer.max_message_size"},
		{"`tls.enabled: true`, and that name too", "`tls.enabled: true`", "`rocketmq.producer.tls-enable`", "the loader takes it"},
		{"a retry always goes to another broker where there is one", "never mind", "`rocketmq.producer.retry-next-server`", "a retry always goes to another broker"},
		{"`replyTimeout`", "`replyTimeot`", "`replyTimeot`", "rocketmq-spring has no replyTimeot"},
		{"`BORN_HOST`", "``", "", "BORN_HOST has no row"},
		{"`d.BornTimestamp`", "`BornTimestamp`", "`BORN_TIMESTAMP`", "of no known kind"},
	}
	text := page(t, springPage)
	for _, s := range slips {
		broken := strings.Replace(text, s.page, s.slip, 1)
		if broken == text {
			t.Fatalf("the page has no %s", s.page)
		}
		text = broken
	}
	problems := springProblems(t, text)
	var spans []span
	for _, r := range rows(springPage, text) {
		code, _ := r.check()
		spans = append(spans, code...)
	}
	problems = append(problems, goProblems(spans, build(t, []string{spanProgram(spans)}))...)
	for _, s := range slips {
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, s.row) && strings.Contains(p, s.want) }) {
			t.Errorf("nothing says of row %s: %s", s.row, s.want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(problems, "\n"))
	}
}

// page reads a page of docs.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// springProblems are what is wrong with the tables of the page, but for their Go.
func springProblems(t *testing.T, text string) []string {
	t.Helper()
	var problems []string
	missing := springNames(t)
	for _, r := range rows(springPage, text) {
		_, said := r.check()
		problems = append(problems, said...)
		if r.heads[0] != "where" {
			continue
		}
		for _, name := range spansOf(r.cells[1]) {
			at := slices.IndexFunc(missing, func(n springName) bool { return n.where == strings.Trim(r.cells[0], "`") && n.name == name })
			if at < 0 {
				problems = append(problems, r.problem("rocketmq-spring has no %s there, or it has a row before", name))
				continue
			}
			if missing[at].where == "property" {
				problems = append(problems, r.property(missing[at])...)
			}
			missing = slices.Delete(missing, at, at+1)
		}
	}
	for _, n := range missing {
		problems = append(problems, fmt.Sprintf("%s: %s: %s has no row", springPage, n.where, n.name))
	}
	return problems
}

// check looks at what the row says of rocketkit, and returns what is to be compiled.
func (r row) check() (code []span, problems []string) {
	if r.heads[len(r.heads)-1] != "rocketkit" {
		return nil, nil
	}
	var keys []span
	for _, s := range r.ours() {
		switch {
		case s.isTag():
			code = append(code, s) // as a directive
			if problem := s.bind(); problem != "" {
				problems = append(problems, problem)
			}
		case s.isKey():
			keys = append(keys, s)
		case s.isGo():
			code = append(code, s)
		default:
			problems = append(problems, s.problem("it is of no known kind: Go with a package or a variable, a tag with its value, or a key with its value"))
		}
	}
	if r.heads[0] == "where" && len(r.ours()) == 0 && !regexp.MustCompile(`^none: \S`).MatchString(r.last()) {
		problems = append(problems, r.problem("it has no code, and does not say what to do instead as in \"none: …\""))
	}
	return code, append(problems, keyProblems(keys)...)
}

// property loads a key of rocketmq-spring: what it sets must be what the row's keys set,
// and an error must advise what the row has in italics.
func (r row) property(n springName) []string {
	const taken = "and that name too"
	sample := map[string]any{"String": "sample", "int": 4567, "boolean": true}[n.java]
	if sample == nil {
		sample = map[string]any{"group": map[string]any{"topic": false}}
	}
	cfg, err := loadedKey(n.name, sample)
	inJava, errInJava := loadedKey(camel(n.name), sample)
	if fmt.Sprint(leaves(cfg)) != fmt.Sprint(leaves(inJava)) || (err == nil) != (errInJava == nil) {
		return []string{r.problem("%s in camel case: %v, %v", n.name, leaves(inJava), errInJava)}
	}
	if err != nil {
		advice := regexp.MustCompile(`\*([^*]+)\*`).FindStringSubmatch(r.last())
		if advice == nil || !strings.HasSuffix(err.Error(), `of rocketmq-spring: `+advice[1]) || strings.Contains(r.last(), taken) {
			return []string{r.problem("the loader refuses %s, and the row has to say so, with its advice in italics: %v", n.name, err)}
		}
		return nil
	}
	var problems []string
	var ours []string
	for _, s := range r.ours() {
		values, err := s.keyValues()
		if err != nil || !s.isKey() {
			continue
		}
		for _, v := range values {
			ours = append(ours, v.path)
		}
	}
	set := leaves(cfg)
	for path, got := range set {
		if !slices.Contains(ours, path) || !same(got, sample) {
			problems = append(problems, r.problem("%s sets %s to %v", n.name, path, got))
		}
		if own := strings.ReplaceAll(strings.TrimPrefix(n.name, "rocketmq."), "-", "_"); own != path && !strings.Contains(r.last(), taken) {
			problems = append(problems, r.problem("the loader takes it, and the row does not say %q", taken))
		}
	}
	if len(set) == 0 {
		problems = append(problems, r.problem("%s sets nothing", n.name))
	}
	return problems
}
