package sqlfilter

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

// verdict is a letter of conformance/java/filter.
func verdict(e *Expr, properties []byte) byte {
	truth, err := e.Evaluate(properties)
	if err != nil {
		return 'E'
	}
	return "NFT"[truth]
}

// question is an expression with the properties to match.
type question struct {
	expr       string
	properties [][]byte
}

// ask has Apache's filter of a version answer; answers has a line each question.
func ask(t *testing.T, version string, questions []question) (answers []string) {
	t.Helper()
	var b bytes.Buffer
	for _, q := range questions {
		b.WriteString("E " + base64.StdEncoding.EncodeToString([]byte(q.expr)) + "\n")
		for _, p := range q.properties {
			b.WriteString("P " + base64.StdEncoding.EncodeToString(p) + "\n")
		}
	}
	path := filepath.Join(t.TempDir(), "questions")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	out, err := apache.Program{
		Version: version, Main: "filter.Filter", Args: []string{path},
		JVM: []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}, // it lives for seconds
	}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Apache's filter %s took %v", version, time.Since(start).Round(time.Millisecond))
	answers = strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(answers) != len(questions) {
		t.Fatalf("Apache's filter answered %d lines to %d expressions", len(answers), len(questions))
	}
	return answers
}

// answer is what ask would have this filter say.
func answer(q question) string {
	e, err := Compile(q.expr)
	if err != nil {
		return "X"
	}
	var b strings.Builder
	for _, p := range q.properties {
		b.WriteByte(verdict(e, p))
		if e.Match(p) != (verdict(e, p) == 'T') {
			b.WriteString("(Match differs from Evaluate)")
		}
	}
	return b.String()
}

// Apache's filter says the same as this one of the cases in the other tests' table,
// and of expressions and properties made at random: what compiles, and whether it
// is true, false, unknown or an exception.
func TestExpressionsMeanWhatTheyMeanToApache(t *testing.T) {
	t.Parallel()
	apache.Require(t)
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var questions []question
			for _, c := range cases {
				questions = append(questions, question{c.expr, [][]byte{encode(c.properties)}})
			}
			questions = append(questions, generated(version)...)
			answers := ask(t, version, questions)
			for i, c := range cases {
				want := c.want
				if version == apache.V4 && c.v4 != "" {
					want = c.v4
				}
				if answers[i] != want {
					t.Errorf("%s with %s is %s to Apache, the table says %s", c.expr, c.properties, answers[i], want)
				}
			}
			compareAnswers(t, questions[len(cases):], answers[len(cases):])
		})
	}
}

func generated(version string) []question {
	const expressions, each = 9000, 6
	g := newGenerator(20240229, version == apache.V5)
	questions := make([]question, expressions)
	for i := range questions {
		questions[i].expr = g.expression()
		for range each {
			questions[i].properties = append(questions[i].properties, g.properties())
		}
	}
	return questions
}

func compareAnswers(t *testing.T, questions []question, answers []string) {
	t.Helper()
	counts, wrong := make(map[rune]int), 0
	for i, want := range answers {
		for _, letter := range want {
			counts[letter]++
		}
		if got := answer(questions[i]); got != want {
			if wrong++; wrong <= 20 {
				t.Errorf("%q\n with %q\nis %s, to Apache %s", questions[i].expr, questions[i].properties, got, want)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d expressions differ", wrong)
	}
	pairs := counts['T'] + counts['F'] + counts['N'] + counts['E']
	t.Logf("%d pairs: %d true, %d false, %d unknown, %d exceptions; %d expressions refused",
		pairs, counts['T'], counts['F'], counts['N'], counts['E'], counts['X'])
	if pairs < 20000 {
		t.Errorf("only %d pairs were compared", pairs)
	}
	for _, letter := range "TFNEX" {
		if counts[letter] < 500 {
			t.Errorf("only %d answers %c: the generator is too narrow", counts[letter], letter)
		}
	}
}
