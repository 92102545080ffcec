package rocketkit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

func TestMain(m *testing.M) {
	clientgo.UseLogger(slog.New(slog.DiscardHandler))
	var leaks []goleak.Option
	for _, f := range clientgo.LeakedFunctions() {
		leaks = append(leaks, goleak.IgnoreAnyFunction(f))
	}
	goleak.VerifyTestMain(m, leaks...)
}

func ptr[T any](v T) *T { return &v }

// assembly is a driver that notes what it is given and in which order it ends:
// what a client puts together can be seen only from below.
type assembly struct {
	mu    sync.Mutex // guards the following
	cfg   driver.Config
	send  driver.SenderConfig
	subs  []driver.SubscriptionConfig
	tries int
	ended []string

	answer   error // of every send
	closeErr error
}

func (a *assembly) factory(_ context.Context, cfg driver.Config) (driver.Driver, error) {
	a.cfg = cfg
	return a, nil
}

func (a *assembly) end(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = append(a.ended, what)
}

func (a *assembly) Name() string { return "assembly" }
func (a *assembly) Capabilities() driver.Capabilities {
	return driver.Capabilities{Batch: true, Transactions: true, TimerMessages: true, ExactRetryDelay: true, Ordered: true, Broadcast: true, Compression: [...]bool{driver.Zlib: true, driver.LZ4: true, driver.Zstd: true}}
}

func (a *assembly) Close(context.Context) error {
	a.end("driver")
	return a.closeErr
}

func (a *assembly) NewSender(cfg driver.SenderConfig) (driver.Sender, error) {
	a.send = cfg
	return &assemblySender{assembly: a, group: cfg.Group}, nil
}

func (a *assembly) NewSubscription(cfg driver.SubscriptionConfig, _ driver.Sink) (driver.Subscription, error) {
	a.subs = append(a.subs, cfg)
	return &assemblySubscription{a, cfg.Group}, nil
}

type assemblySender struct {
	driver.Sender
	*assembly
	group string
}

func (s *assemblySender) NewID() string { return "0A" }
func (s *assemblySender) Queues(_ context.Context, topic string) ([]message.Queue, error) {
	return []message.Queue{{Topic: topic, Broker: "a"}, {Topic: topic, Broker: "b"}}, nil
}

func (s *assemblySender) SendTo(_ context.Context, _ message.Queue, _ *driver.Outgoing, done func(driver.Receipt, error)) {
	s.mu.Lock()
	s.tries++
	s.mu.Unlock()
	done(driver.Receipt{}, s.answer)
}

func (s *assemblySender) Close(context.Context) error {
	s.end("producer " + s.group)
	return nil
}

type assemblySubscription struct {
	*assembly
	group string
}

func (s *assemblySubscription) Start(context.Context) error { return nil }
func (s *assemblySubscription) Stop(ctx context.Context) error {
	return s.Drain(ctx)
}

func (s *assemblySubscription) Drain(context.Context) error {
	s.end("consumer " + s.group)
	return nil
}

func base() rocketkit.Config { return rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}} }

func open(t *testing.T, cfg rocketkit.Config, opts ...rocketkit.Option) (*rocketkit.Client, *assembly) {
	t.Helper()
	a := &assembly{}
	c, err := rocketkit.Open(t.Context(), cfg, append([]rocketkit.Option{rocketkit.WithDriver("assembly", a.factory)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, a.closeErr) {
			t.Error(err)
		}
	})
	return c, a
}

func mux(group string, opts ...consumer.GroupOption) *consumer.Mux {
	m := consumer.NewMux(group, opts...)
	consumer.Handle(m, "orders", func(context.Context, string) error { return nil }, consumer.Name("paid"))
	consumer.Handle(m, "refunds", func(context.Context, string) error { return nil }, consumer.Name("refund"))
	return m
}

func TestADriverThatIsNotLinkedNamesItsImport(t *testing.T) {
	t.Parallel()
	cfg := base()
	cfg.Driver = "rocketmq-client-go"
	_, err := rocketkit.Open(t.Context(), cfg)
	var de *rocketkit.DriverError
	if !errors.As(err, &de) || de.Import() != "github.com/rocketkit/rocketkit/driver/clientgo" {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{`import "github.com/rocketkit/rocketkit/driver/clientgo"`, `WithDriver("rocketmq-client-go", clientgo.Factory)`, "native"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not mentioned: %s in %v", want, err)
		}
	}
	cfg.Driver = "stranger"
	if _, err := rocketkit.Open(t.Context(), cfg); !errors.As(err, &de) || de.Import() != "" || !strings.Contains(err.Error(), "stranger") {
		t.Errorf("error %v", err)
	}
}

func TestTheConfigurationChoosesTheDriver(t *testing.T) {
	t.Parallel()
	chosen := ""
	link := func(name string) rocketkit.Option {
		return rocketkit.WithDriver(name, func(ctx context.Context, cfg driver.Config) (driver.Driver, error) {
			chosen = name
			return (&assembly{}).factory(ctx, cfg)
		})
	}
	for named, want := range map[string]string{"": "two", "one": "one", "two": "two", "native": ""} {
		chosen = ""
		cfg := base()
		cfg.Driver = named
		c, err := rocketkit.Open(t.Context(), cfg, link("one"), link("two"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if chosen != want {
			t.Errorf("driver %q of the configuration chose %q", named, chosen)
		}
	}
}

func TestMistakesInTheConfigurationAreReportedAtOpen(t *testing.T) {
	t.Setenv("NAMESRV_ADDR", "")
	_, err := rocketkit.Open(t.Context(), rocketkit.Config{Producer: config.Producer{SendTimeout: -1}}, nil)
	if err == nil || !strings.Contains(err.Error(), "NAMESRV_ADDR") || !strings.Contains(err.Error(), "send_timeout") || !strings.Contains(err.Error(), "options are nil") {
		t.Errorf("error %v", err)
	}
	t.Setenv("NAMESRV_ADDR", "ns1:9876;ns2:9876")
	_, a := open(t, rocketkit.Config{})
	if diff := cmp.Diff([]string{"ns1:9876", "ns2:9876"}, a.cfg.NameServers); diff != "" {
		t.Errorf("name servers (-want +got):\n%s", diff)
	}
	boom := errors.New("boom")
	_, err = rocketkit.Open(t.Context(), base(), rocketkit.WithDriver("x", func(context.Context, driver.Config) (driver.Driver, error) { return nil, boom }))
	if !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
}

func TestTheDriverIsToldWhatIsConfigured(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := base()
	cfg.Credentials = config.Credentials{AccessKey: "ak", SecretKeyFile: write("secret", "sk\n"), SecurityToken: "st"}
	cfg.TLS = config.TLS{Enabled: true, ServerName: "broker.example"}
	var said strings.Builder
	_, a := open(t, cfg, rocketkit.WithLogger(slog.New(slog.NewTextHandler(&said, nil))), rocketkit.WithLogger(nil))
	if want := (driver.Credentials{AccessKey: "ak", SecretKey: "sk", SecurityToken: "st"}); a.cfg.Credentials != want {
		t.Errorf("credentials %#v", a.cfg.Credentials)
	}
	if a.cfg.TLS == nil || a.cfg.TLS.ServerName != "broker.example" || a.cfg.TLS.MinVersion != tls.VersionTLS12 || a.cfg.TLS.InsecureSkipVerify {
		t.Errorf("config %+v", a.cfg)
	}
	if a.cfg.Logger.Info("hello"); !strings.Contains(said.String(), "hello") {
		t.Error("the driver's logger is not the client's")
	}
	own := &tls.Config{MinVersion: tls.VersionTLS13}
	if _, a = open(t, cfg, rocketkit.WithTLSConfig(own)); a.cfg.TLS != own {
		t.Error("the application's TLS configuration was not taken")
	}
	if _, a = open(t, base()); a.cfg.TLS != nil || a.cfg.Logger == nil {
		t.Errorf("config %+v", a.cfg)
	}

	missing, empty, junk := filepath.Join(dir, "missing"), write("empty", " \n"), write("junk", "junk")
	for name, tc := range map[string]struct {
		change func(*rocketkit.Config)
		want   string
	}{
		"no secret file":    {func(c *rocketkit.Config) { c.Credentials.SecretKeyFile = missing }, "secret_key_file"},
		"empty secret file": {func(c *rocketkit.Config) { c.Credentials.SecretKeyFile = empty }, "is empty"},
		"no CA file":        {func(c *rocketkit.Config) { c.TLS.CAFile = missing }, "tls.ca_file"},
		"junk CA file":      {func(c *rocketkit.Config) { c.TLS.CAFile = junk }, "no PEM certificate"},
		"junk certificate":  {func(c *rocketkit.Config) { c.TLS.CertFile, c.TLS.KeyFile = junk, junk }, "tls.cert_file"},
	} {
		bad := cfg
		tc.change(&bad)
		if _, err := rocketkit.Open(t.Context(), bad); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProducersAreMadeAsConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := base()
		cfg.Producer = config.Producer{
			Group: "pay_group", SendTimeout: time.Minute, Retries: ptr(6), MaxMessageSize: 8, MaxInFlight: 3, MaxInFlightBytes: 100, FailFast: true, RetryUnknownOutcome: true,
			Breaker: config.Breaker{Failures: 3}, Compression: "lz4", CompressOver: 512,
		}
		c, a := open(t, cfg)
		a.answer = &message.UnknownOutcomeError{Err: errors.New("lost")}
		p, err := c.NewProducer("")
		if err != nil {
			t.Fatal(err)
		}
		if p.Group() != "pay_group" || a.send.MaxMessageSize != 8 {
			t.Errorf("group %s, the driver was told %+v", p.Group(), a.send)
		}
		if z := a.send.Compression; z == nil || *z != (driver.Compression{Over: 512, Kind: driver.LZ4, Level: 5}) {
			t.Errorf("the driver was told to pack %+v", z)
		}
		_, err = p.Send(t.Context(), message.New("orders", []byte("12345678")))
		if a.tries != 7 || errors.Is(err, message.ErrBreakerOpen) {
			t.Errorf("%d tries: %v", a.tries, err)
		}
		<-time.After(time.Second) // a row of failures that goes on opens both brokers' circuits
		_, err = p.Send(t.Context(), message.New("orders", []byte("12345678")))
		if a.tries != 9 || !errors.Is(err, message.ErrBreakerOpen) {
			t.Errorf("%d tries: %v", a.tries, err)
		}
		if _, err := p.Send(t.Context(), message.New("orders", []byte("123456789"))); !errors.Is(err, message.ErrBodyTooLarge) {
			t.Errorf("a body over the limit: %v", err)
		}

		cfg.Producer.Compression, cfg.Producer.CompressOver, cfg.Producer.CompressionLevel = "", 0, 9
		small, b := open(t, cfg)
		if _, err := small.NewProducer(""); err != nil || *b.send.Compression != (driver.Compression{Over: 4 << 10, Level: 9}) {
			t.Errorf("the driver was told to pack %+v, %v", b.send.Compression, err)
		}
		cfg.Producer.CompressionLevel = 0

		cfg.Producer.AvoidSlow = true
		slow, _ := open(t, cfg)
		if _, err := slow.NewProducer("", producer.FaultAvoidance(false)); err == nil || !strings.Contains(err.Error(), "AvoidSlow") {
			t.Errorf("slow brokers are not avoided as configured: %v", err)
		}

		a.tries = 0
		p, err = c.NewProducer("own_group", producer.Retries(0)) // the program wins
		if err != nil {
			t.Fatal(err)
		}
		_, _ = p.Send(t.Context(), message.New("orders", []byte("1")))
		if p.Group() != "own_group" || a.tries != 1 {
			t.Errorf("group %s, %d tries", p.Group(), a.tries)
		}
		cfg.Producer.Breaker.Enabled, cfg.Producer.Compression, cfg.Producer.CompressOver = ptr(false), "none", 0
		c, a = open(t, cfg)
		a.answer = &message.UnknownOutcomeError{Err: errors.New("lost")}
		if p, err = c.NewProducer("", producer.Retries(9)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Send(t.Context(), message.New("orders", []byte("1"))); a.tries != 10 || errors.Is(err, message.ErrBreakerOpen) {
			t.Errorf("without a breaker %d tries: %v", a.tries, err)
		}
		if a.send.Compression != nil {
			t.Errorf("compression none: the driver was told to pack %+v", a.send.Compression)
		}
	})
	c, _ := open(t, base())
	if _, err := c.NewProducer(""); !errors.Is(err, message.ErrInvalidGroup) {
		t.Errorf("without a group: %v", err)
	}
}

func TestConsumersAreMadeAsConfigured(t *testing.T) {
	t.Parallel()
	cfg := base()
	cfg.Consumers = []config.Consumer{{
		Group: "shop", From: "first", Concurrency: 5, PullBatch: 16, MaxRetries: ptr(3), ConsumeTimeout: time.Minute, ShutdownTimeout: time.Second, MaxUnsettled: 50, MaxUnsettledBytes: 1 << 10, MaxSpan: 60,
		Backoff: config.Backoff{Base: time.Second}, StrictRetryDelay: true,
		Handlers: []config.Handler{{Name: "paid", Concurrency: 7}, {Name: "refund", Enabled: ptr(false)}},
	}}
	c, a := open(t, cfg)
	if _, err := c.NewConsumer(mux("shop", consumer.PullBatch(1))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.NewConsumer(mux("shop2"), consumer.PullBatch(2)); err != nil {
		t.Fatal(err)
	}
	got := a.subs[0]
	if got.From != driver.FromFirst || got.PullBatch != 16 || got.MaxRetries != 3 || got.MaxUnsettled != 50 || got.MaxUnsettledBytes != 1<<10 || got.MaxSpan != 60 || !got.ExactRetries || len(got.Topics) != 1 || got.Topics[0].Topic != "orders" {
		t.Errorf("the driver was told %+v", got)
	}
	if got = a.subs[1]; got.From != driver.FromLast || got.PullBatch != 2 || len(got.Topics) != 2 {
		t.Errorf("the driver was told %+v", got)
	}
	cfg.Consumers[0].Handlers = []config.Handler{{Name: "piad", Concurrency: 1}}
	c, _ = open(t, cfg)
	if _, err := c.NewConsumer(mux("shop")); err == nil || !strings.Contains(err.Error(), "piad") {
		t.Errorf("a handler that is not there: %v", err)
	}
	if _, err := c.NewConsumer(nil); err == nil {
		t.Error("no mux")
	}
	for key, name := range map[string]string{"averagely": "AVG", "by_circle": "AVG_BY_CIRCLE", "consistent_hash": "CONSISTENT_HASH"} {
		cfg.Consumers[0] = config.Consumer{Group: "shop", Allocation: key}
		c, a = open(t, cfg)
		if _, err := c.NewConsumer(mux("shop")); err != nil || a.subs[0].Allocate == nil || a.subs[0].Allocate.Name() != name {
			t.Errorf("%s: %+v, %v", key, a.subs, err)
		}
	}
	cfg.Consumers[0] = config.Consumer{Group: "shop", PullWait: 13 * time.Hour, Invisible: 13 * time.Hour} // too long, of which each is told
	c, _ = open(t, cfg)
	if _, err := c.NewSimpleConsumer("shop", []consumer.Subscription{{Topic: "orders"}}); err == nil || !strings.Contains(err.Error(), "PullWait(13h") || !strings.Contains(err.Error(), "invisible for 13h") {
		t.Errorf("the configured times did not arrive: %v", err)
	}
	cfg.Consumers[0] = config.Consumer{Group: "shop", From: "last"}
	c, a = open(t, cfg)
	if _, err := c.NewConsumer(mux("shop", consumer.From(consumer.First))); err != nil || a.subs[0].From != driver.FromLast {
		t.Errorf("from %v, %v", a.subs, err)
	}
}

func TestConsumersAreOrderedAndBroadcastAsConfigured(t *testing.T) {
	t.Parallel()
	cfg := base()
	cfg.Consumers = []config.Consumer{
		{Group: "steps", Order: "queue", Suspend: 2 * time.Second},
		{Group: "keys", Order: "sharding_key"},
		{Group: "cache", Model: "broadcasting", Instance: "blue", OffsetDir: "/data"},
		{Group: "plain", Model: "clustering", Handlers: []config.Handler{{Name: "dlq", Enabled: ptr(false), Paused: true}}},
	}
	c, a := open(t, cfg)
	for _, group := range []string{"steps", "keys", "cache", "plain"} {
		m := mux(group)
		if group == "plain" { // whose configuration wins over the program
			m = mux(group, consumer.Broadcast())
			consumer.HandleDLQ(m, func(context.Context, *message.Delivery) error { return nil })
		}
		if _, err := c.NewConsumer(m); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.subs[0]; !got.Ordered || got.OrderKey != nil || got.Suspend != 2*time.Second || got.Broadcast != nil {
		t.Errorf("by queue: the driver was told %+v", got)
	}
	if got := a.subs[1]; !got.Ordered || got.OrderKey == nil {
		t.Errorf("by key: the driver was told %+v", got)
	} else {
		d := new(message.Delivery)
		d.SetRawProperties("__SHARDINGKEY\x01k\x02")
		if k := got.OrderKey(d); k != "k" {
			t.Errorf("by key %q, want the sharding key", k)
		}
	}
	if got := a.subs[2]; got.Ordered || got.Broadcast == nil || *got.Broadcast != (driver.Broadcast{Dir: "/data", Instance: "blue"}) {
		t.Errorf("to all: the driver was told %+v", got)
	}
	if got := a.subs[3]; got.Ordered || got.Broadcast != nil {
		t.Errorf("to one: the driver was told %+v", got)
	}
}

func TestClosingEndsEverythingInReverseOrder(t *testing.T) {
	t.Parallel()
	c, a := open(t, base())
	early, err := c.NewProducer("early")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.NewProducer("p"); err != nil {
		t.Fatal(err)
	}
	cons, err := c.NewConsumer(mux("c"))
	if err != nil {
		t.Fatal(err)
	}
	if err := cons.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := early.Close(); err != nil {
		t.Fatal(err)
	}
	a.closeErr = errors.New("a driver's trouble")
	for range 2 {
		if err := c.Close(); !errors.Is(err, a.closeErr) {
			t.Errorf("close: %v", err)
		}
	}
	if diff := cmp.Diff([]string{"producer early", "consumer c", "producer p", "driver"}, a.ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if _, err := c.NewProducer("late"); !errors.Is(err, message.ErrClosed) {
		t.Errorf("new producer: %v", err)
	}
	if _, err := c.NewConsumer(mux("late")); !errors.Is(err, message.ErrClosed) {
		t.Errorf("new consumer: %v", err)
	}
}

func TestAClientRunsAsTheFirstOfItsParts(t *testing.T) {
	t.Parallel()
	c, a := open(t, base())
	p, err := c.NewProducer("p")
	if err != nil {
		t.Fatal(err)
	}
	cons, err := c.NewConsumer(mux("c"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := rocketkit.Run(ctx, c, p, cons); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"consumer c", "producer p", "driver"}, a.ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
}

func TestASecretIsNotInTheClientsErrors(t *testing.T) {
	t.Parallel()
	cfg := base()
	cfg.Credentials = config.Credentials{SecretKey: "hunter2"}
	if _, err := rocketkit.Open(t.Context(), cfg); err == nil || strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("error %v", err)
	}
}
