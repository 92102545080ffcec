package conformance_test

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/driver/clientgo"
)

var update = flag.Bool("update", false, "write docs/conformance.md from this run's results")

// results is what every leg of this run found.
var results = newBoard()

func TestMain(m *testing.M) {
	if task := os.Getenv(memberEnv); task != "" {
		if err := beMember(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	// Cases wait for servers most of their time.
	if !given("test.parallel") {
		if err := flag.Set("test.parallel", "60"); err != nil {
			panic(err)
		}
	}
	clientgo.UseLogger(slog.New(slog.DiscardHandler))
	var leaks []goleak.Option
	for _, f := range clientgo.LeakedFunctions() {
		leaks = append(leaks, goleak.IgnoreAnyFunction(f))
	}
	for _, f := range []string{ // up to 3 s, the time-out of what they ask
		"internal.(*rmqClient).RebalanceImmediately", "internal.GetOrNewRocketMQClient.func1", "internal.GetOrNewRocketMQClient.func2",
	} {
		leaks = append(leaks, goleak.IgnoreAnyFunction("github.com/apache/rocketmq-client-go/v2/"+f))
	}
	leaks = append(leaks, goleak.Cleanup(func(code int) {
		if code == 0 && *update {
			if err := results.write(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
		os.Exit(code)
	}))
	goleak.VerifyTestMain(m, leaks...)
}

func given(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

// newLog writes a test's logs, from warnings on; ROCKETKIT_TEST_DEBUG=1 shows all.
func newLog(t *testing.T) *slog.Logger { return logFrom(t, slog.LevelWarn) }

func logFrom(t *testing.T, level slog.Level) *slog.Logger {
	if os.Getenv("ROCKETKIT_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	w := &tap{w: t.Output()}
	t.Cleanup(w.close)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// tap is a writer that closes: what a driver's leaked goroutines say after the
// test is lost.
type tap struct {
	mu sync.Mutex // guards the following
	w  io.Writer  // nil when closed
}

func (t *tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w == nil {
		return len(p), nil
	}
	return t.w.Write(p)
}

func (t *tap) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.w = nil
}
