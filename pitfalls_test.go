package rocketkit_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/txn"
)

var update = flag.Bool("update", false, "write docs/errors.md")

// pitfall is a mistake that is easily made with RocketMQ, and what a user sees of it.
type pitfall struct {
	name   string
	remedy string
	make   func(t *testing.T, s cluster) string // makes it, and returns the text
}

func pitfalls() []pitfall {
	return []pitfall{
		{"Two consumers of one group in a client", "One Mux holds all handlers of a group, so that every member subscribes to the same; the handlers share a topic by disjoint tags.", twoConsumersOfAGroup},
		{"Members of a group with different handlers", "Every member of a group has the same handlers; others are in another group. It is a warning at first, since a rolling deploy does the same for a while; after five minutes it is logged as an error, and told by `State.Trouble` and package `health`.", differentHandlers},
		{"A poison message", "A body that cannot be decoded is not retried: it is a dead letter at once. In order, a message that keeps failing is one after its last retry.", poison},
		{"A handler that ignores its ctx", "Pass ctx on to everything that blocks. The message stays with the handler until it returns.", ignoredContext},
		{"Broadcasting with a retry policy", "A broadcast message that fails is logged, counted and passed over; Immediate retries are made in the process.", broadcastRetry},
		{"A delay on a transactional message", "Send the delayed message when the transaction has been committed.", delayedTransaction},
		{"A status other than SEND_OK", "It is in the result, and with RequireDurable an error. The message is stored.", notDurable},
	}
}

func twoConsumersOfAGroup(t *testing.T, s cluster) string {
	c := s.connect()
	for i := range 2 {
		mux := consumer.NewMux("pay")
		consumer.Handle(mux, "payments", func(context.Context, string) error { return nil }, consumer.Tags([]string{"card", "transfer"}[i]))
		made, err := c.NewConsumer(mux)
		if err == nil {
			err = made.Start(t.Context())
		}
		if err != nil {
			return err.Error()
		}
	}
	return ""
}

// differentHandlers is what the older of two members of a group logs.
func differentHandlers(t *testing.T, s cluster) string {
	var log bytes.Buffer
	clients := []*rocketkit.Client{s.connect(rocketkit.WithLogger(timeless(&log))), s.connect()}
	if _, err := newProducer(t, clients[1], "producers").Send(t.Context(), message.New("payments", []byte("x"))); err != nil {
		t.Fatal(err) // which makes the topic: the younger member is the last to take queues
	}
	var members []*consumer.Consumer
	for i, c := range clients {
		mux := consumer.NewMux("pay")
		consumer.Handle(mux, "payments", func(context.Context, string) error { return nil }, consumer.Tags([]string{"card", "transfer"}[i]))
		made, err := c.NewConsumer(mux)
		if err != nil {
			t.Fatal(err)
		}
		if err := made.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		members = append(members, made)
		time.Sleep(time.Second)
	}
	time.Sleep(8 * time.Minute)
	if err := members[0].State().Trouble; !errors.Is(err, message.ErrSubscriptionsDiffer) {
		t.Errorf("the consumer's trouble is %v", err)
	}
	for _, made := range members {
		if err := made.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	}
	return lineWith(t, &log, "different subscriptions")
}

// timeless is a logger whose lines have no time.
func timeless(log *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// lineWith is the first line of a log with a part.
func lineWith(t *testing.T, log *bytes.Buffer, part string) string {
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	t.Errorf("no %q in the log:\n%s", part, log)
	return ""
}

// logOf runs a handler for one message and returns the first line of the log with a part.
func logOf[T any](t *testing.T, s cluster, part, body string, h consumer.Func[T], opts ...consumer.HandlerOption) string {
	var log bytes.Buffer
	c := s.connect(rocketkit.WithLogger(timeless(&log)))
	mux := consumer.NewMux("pay", consumer.From(consumer.First))
	consumer.Handle(mux, "payments", h, append(opts, consumer.Name("paid"))...)
	made, err := c.NewConsumer(mux)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newProducer(t, c, "producers").Send(t.Context(), message.New("payments", []byte(body))); err != nil {
		t.Fatal(err)
	}
	if err := made.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Minute)
	if err := made.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	return lineWith(t, &log, part)
}

func poison(t *testing.T, s cluster) string {
	type payment struct{ Amount int }
	return logOf(t, s, "cannot decode", "{", func(context.Context, payment) error { return nil })
}

func ignoredContext(t *testing.T, s cluster) string {
	return logOf(t, s, "overran", "x", func(context.Context, string) error {
		time.Sleep(2 * time.Minute)
		return nil
	}, consumer.Timeout(time.Minute))
}

func broadcastRetry(_ *testing.T, s cluster) string {
	mux := consumer.NewMux("pay", consumer.Broadcast())
	consumer.Handle(mux, "payments", func(context.Context, string) error { return nil }, consumer.Name("paid"), consumer.Retry(retry.Levels(3)))
	_, err := s.connect().NewConsumer(mux)
	return fmt.Sprint(err)
}

func delayedTransaction(t *testing.T, s cluster) string {
	kind := txn.NewKind("paid", "payments", func(context.Context, *message.Delivery) error { return nil })
	p := newProducer(t, s.connect(), "producers", txn.Kinds(kind))
	_, err := kind.Send(t.Context(), p, message.New("payments", []byte("x"), delay.After(time.Minute)), func(context.Context, message.SendResult) error { return nil })
	return fmt.Sprint(err)
}

func notDurable(t *testing.T, s cluster) string {
	defer s.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
		return brokerlite.ReplaceAnswer(10), r.Topic == "payments" && r.Name == "SEND_MESSAGE_V2"
	})()
	_, err := newProducer(t, s.connect(), "producers", producer.RequireDurable()).Send(t.Context(), message.New("payments", []byte("x")))
	return fmt.Sprint(err)
}

// docs/errors.md has what each pitfall says, and the errors of the packages.
func TestTheListOfErrorsSaysWhatIsSaid(t *testing.T) {
	t.Parallel()
	all := pitfalls()
	texts := make([]string, len(all))
	var mu sync.Mutex // guards texts
	t.Run("pitfalls", func(t *testing.T) {
		for i, p := range all {
			t.Run(p.name, func(t *testing.T) {
				inCluster(t, func(t *testing.T, s cluster) {
					text := steady(p.make(t, s))
					if text == "" || text == "<nil>" {
						t.Error("nothing is said")
					}
					mu.Lock()
					defer mu.Unlock()
					texts[i] = text
				})
			})
		}
	})
	var b strings.Builder
	b.WriteString("# Errors\n\nGenerated by `go test . -run TestTheListOfErrors -update`; the texts are what the tests of the pitfalls saw on broker-lite.\n\n## Pitfalls\n")
	for i, p := range all {
		fmt.Fprintf(&b, "\n### %s\n\n```\n%s\n```\n\n%s\n", p.name, texts[i], p.remedy)
	}
	b.WriteString("\nTwo cannot be made: clients of one instance name, since each has an id of its own in every process (`TestTwoClientsOfAProcessShareTheQueues` in `driver/native`), and a delay level on a retry that goes by a timer message, since the framework sets one or the other (`TestExactRetryDelayIsATimerMessage` in `driver/native`).\n")
	b.WriteString("\n## Errors of the packages\n\nFor `errors.Is`, those with a text, and for `errors.As`. The errors that wrap them say what, where and the remedy.\n\n| error | text | meaning |\n|---|---|---|\n")
	for _, dir := range []string{".", "admin", "codec", "codec/cloudevents", "config", "consumer", "dedup", "driver/native", "message", "producer", "retry", "txn", "broker-lite"} {
		for _, row := range exportedErrors(t, dir) {
			b.WriteString(row)
		}
	}
	path := filepath.Join("docs", "errors.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("run go test . -run TestTheListOfErrors -update (-have +want):\n%s", diff)
	}
}

// steady takes out of a text what is another one in each run.
func steady(text string) string {
	text = regexp.MustCompile(`\b[0-9A-F]{32}\b`).ReplaceAllString(text, "<id>")
	text = regexp.MustCompile(`\S+@\d+#[0-9a-z]+`).ReplaceAllString(text, "<client id>")
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(text, "<address>")
}

// exportedErrors are the rows of a package's Err variables and Error types.
func exportedErrors(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	pkg := filepath.Base(dir)
	var rows []string
	add := func(name, text string, doc *ast.CommentGroup) {
		meaning := strings.Join(strings.Fields(doc.Text()), " ")
		if meaning == "" {
			t.Errorf("%s.%s has no comment", pkg, name)
		}
		rows = append(rows, fmt.Sprintf("| `%s.%s` | %s | %s |\n", pkg, name, text, strings.ReplaceAll(meaning, "|", `\|`)))
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		pkg = parsed.Name.Name
		for _, decl := range parsed.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					if name := spec.Names[0].Name; gen.Tok == token.VAR && strings.HasPrefix(name, "Err") {
						add(name, textOf(spec), firstOf(spec.Doc, gen.Doc))
					}
				case *ast.TypeSpec:
					if spec.Name.IsExported() && strings.HasSuffix(spec.Name.Name, "Error") {
						add("*"+spec.Name.Name, "", firstOf(spec.Doc, gen.Doc))
					}
				}
			}
		}
	}
	slices.Sort(rows)
	return rows
}

func firstOf(docs ...*ast.CommentGroup) *ast.CommentGroup {
	for _, d := range docs {
		if d != nil {
			return d
		}
	}
	return nil
}

// textOf is the text of errors.New.
func textOf(spec *ast.ValueSpec) string {
	if call, ok := spec.Values[0].(*ast.CallExpr); ok && len(call.Args) == 1 {
		if lit, ok := call.Args[0].(*ast.BasicLit); ok {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				return text
			}
		}
	}
	return ""
}
