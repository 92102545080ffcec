package rocketkittest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

// failing is a test that keeps what it says when it fails.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Errorf(format string, args ...any) { f.said += fmt.Sprintf(format, args...) }
func (f *failing) Fatal(args ...any)                 { f.said += fmt.Sprint(args...); runtime.Goexit() }
func (f *failing) Fatalf(format string, args ...any) { f.Errorf(format, args...); runtime.Goexit() }

// fails returns what f says when it fails, "" when it does not.
func fails(t testing.TB, f func(testing.TB)) string {
	tb, done := &failing{TB: t}, make(chan struct{})
	go func() {
		defer close(done)
		f(tb)
	}()
	<-done
	return tb.said
}

func TestARecorderThatComesTooLateSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		mux := shop()
		mq.Consume(t, mux)
		handlers := rocketkittest.Record(mux)
		mq.Send(t, order("one"))
		for name, f := range map[string]func(testing.TB){
			"a message": func(t testing.TB) { handlers.Consumed().Eventually(t, rocketkittest.Want{Body: "one"}) },
			"nothing":   func(t testing.TB) { handlers.Failed().Exactly(t) },
		} {
			if said := fails(t, f); !strings.Contains(said, "call Record before NewConsumer or Consume") {
				t.Errorf("%s: said %q", name, said)
			}
		}
	})
}

func TestAFailureSaysWhatWasThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		mux := shop()
		handlers := rocketkittest.Record(mux)
		mq.Consume(t, mux)
		mq.Send(t, order("one", message.Tag("paid"), message.Key("1", "first")))
		mq.Advance(time.Second) // handlers run side by side
		mq.Send(t, order(strings.Repeat("long ", 30)))
		mq.Send(t, order("bad", message.Key("9")))
		mq.Advance(time.Minute)
		const long = "  orders body=long long long long long long long long long long long long long long long long … (150 bytes)\n"
		for name, tc := range map[string]struct {
			f    func(testing.TB)
			want string
		}{
			"consumed": {func(t testing.TB) {
				handlers.Consumed().Eventually(t, rocketkittest.Want{Tag: "paid", Key: "2"})
			}, "consumed by shop: a message with tag paid, key 2 has not come\nThere:\n  orders tag=paid keys=1,first body=one\n" + long +
				"Failed:\n  orders keys=9 body=bad: no such article\n  orders keys=9 retries=1 body=bad: no such article"},
			"sent": {func(t testing.TB) {
				mq.SentTo("orders").Eventually(t, rocketkittest.Want{Topic: "orders", ID: "x", Body: "y", Where: func(*message.Delivery) bool { return true }})
			}, "topic orders: a message with topic orders, id x, body y, what Where says has not come\nThere:\n  orders tag=paid keys=1,first body=one\n" + long + "  orders keys=9 body=bad"},
			"too few": {func(t testing.TB) {
				mq.SentTo("none").Exactly(t, rocketkittest.Want{}, rocketkittest.Want{Key: "1"})
			}, "topic none: any message and a message with key 1 has not come\nThere:\n  nothing"},
			"too many": {func(t testing.TB) {
				handlers.Consumed().Exactly(t, rocketkittest.Want{Body: "one"})
			}, "consumed by shop: nobody wants\n" + long + "There:\n  orders tag=paid keys=1,first body=one\n" + long + "Failed:\n  orders keys=9 body=bad: no such article\n  orders keys=9 retries=1 body=bad: no such article"},
			"dead": {func(t testing.TB) { mq.DeadLetters("shop").Exactly(t) },
				"the dead-letter queue of shop: nobody wants\n  orders keys=9 retries=2 body=bad\nThere:\n  orders keys=9 retries=2 body=bad"},
			"not broken": {func(t testing.TB) {
				mq.Break(t, brokerlite.Match{Code: rocketkittest.Send, Topic: "order"}, brokerlite.DropAnswer())()
			}, "nothing was broken: no request came that matches {NameServer:false Code:310 Topic:order Group:}"},
			"not sent": {func(t testing.TB) { mq.Send(t, order("")) }, `empty message body: topic "orders": RocketMQ refuses a message without a body; send at least one byte`},
		} {
			if got := fails(t, tc.f); got != strings.TrimSuffix(tc.want, "\n") {
				t.Errorf("%s:\n%s\nwant:\n%s", name, got, tc.want)
			}
		}
	})
}

func TestAFailureOutsideOfABubbleSaysThatTheClockStands(t *testing.T) {
	t.Parallel()
	mq := rocketkittest.Start(t)
	mq.Send(t, order("1"))
	if got := fails(t, func(t testing.TB) { mq.SentTo("orders").Exactly(t) }); !regexp.MustCompile(`The server's clock stands at \d\d:\d\d:\d\d; Advance moves it\.$`).MatchString(got) {
		t.Error(got)
	}
}

func TestManyMessagesAreShownInPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		for i := range 70 {
			mq.Send(t, order(fmt.Sprintf("\x00%d", i)))
		}
		got := fails(t, func(t testing.TB) { mq.SentTo("orders").Exactly(t) })
		if !strings.Contains(got, "\n  orders body=\"\\x000\"\n") || strings.Count(got, "\n  orders") != 40 || strings.Count(got, "\n  and 50 more") != 2 {
			t.Error(got)
		}
		if n := len(mq.SentTo("orders").All(t)); n != 70 {
			t.Errorf("%d messages", n)
		}
	})
}

const failOnPurpose = "ROCKETKITTEST_FAIL"

// failEachWay is run by the next test, in a process of its own.
func failEachWay(t *testing.T) {
	mq := rocketkittest.Start(t)
	mq.Send(t, order("1"))
	t.Run("1", func(t *testing.T) { mq.SentTo("orders").Exactly(t) })                                    // here
	t.Run("2", func(t *testing.T) { mq.Send(t, order("")) })                                             // here
	t.Run("3", func(t *testing.T) { rocketkittest.Golden(t, "none", order("")) })                        // here
	t.Run("4", func(t *testing.T) { mq.Break(t, brokerlite.Match{Topic: "none"}, brokerlite.Pass())() }) // here
	t.Run("5", func(t *testing.T) { mq.Consume(t, shop(), nil) })                                        // here
	t.Run("6", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rocketkittest.Record(shop()).Consumed().Eventually(t, rocketkittest.Want{}) // here
		})
	})
	other := order("", message.Tag("x"), delay.Level(1), message.Property("a", "b"))
	t.Run("7", func(t *testing.T) { rocketkittest.Golden(t, "order_closed", other) })                         // here
	t.Run("8", func(t *testing.T) { mq.Break(t, brokerlite.Match{Topic: "none"}, brokerlite.Answer(2, "")) }) // here
}

func TestFailuresAreReportedAtTheCallersLine(t *testing.T) {
	if os.Getenv(failOnPurpose) != "" {
		failEachWay(t)
		return
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), failOnPurpose+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("it passed")
	}
	source, err := os.ReadFile("failures_test.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, line := range strings.Split(string(source), "\n") {
		if strings.HasSuffix(line, " // here") {
			n++
			if !strings.Contains(string(out), fmt.Sprintf("failures_test.go:%d:", i+1)) {
				t.Errorf("line %d is not named", i+1)
			}
		}
	}
	if n != 8 || t.Failed() {
		t.Errorf("%d lines:\n%s", n, out)
	}
}

func TestAGoldenMessageIsTheSameSentAndReceived(t *testing.T) {
	t.Chdir(t.TempDir())
	m := order(`{"id":4711,"lines":["a"]}`, message.Tag("paid"), message.Key("1", "2"), message.ShardingKey("1"), message.Property("region", "eu"))
	if got := fails(t, func(t testing.TB) { rocketkittest.Golden(t, "order", m) }); !strings.Contains(got, "write it with ROCKETKIT_UPDATE=1") {
		t.Error(got)
	}
	t.Setenv("ROCKETKIT_UPDATE", "1")
	rocketkittest.Golden(t, "order", m)
	t.Setenv("ROCKETKIT_UPDATE", "")
	got, err := os.ReadFile(filepath.Join("testdata", "order.golden"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "topic: orders\ntag: paid\nkeys: 1 2\nsharding key: 1\nproperty: region=eu\n\n{\n  \"id\": 4711,\n  \"lines\": [\n    \"a\"\n  ]\n}\n"
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	mq := rocketkittest.Start(t)
	mq.Send(t, m)
	rocketkittest.Golden(t, "order", mq.SentTo("orders").Eventually(t, rocketkittest.Want{}))
	m.Tag = "open"
	said := fails(t, func(t testing.TB) { rocketkittest.Golden(t, "order", m) })
	for _, want := range []string{"differs from testdata/order.golden", "tag: paid", "tag: open"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing in %s", want, said)
		}
	}
}

// The page's blocks of Go are in shop_test.go, which is run.
func TestTheGuideShowsWhatIsTested(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("shop_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 3 {
		t.Errorf("%d blocks of Go", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(string(source), block[1]) {
			t.Errorf("not in shop_test.go:\n%s", block[1])
		}
	}
}
