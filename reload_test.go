package rocketkit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// payments is the configuration of a consumer with one handler, paid.
func payments(s cluster, paid config.Handler) rocketkit.Config {
	paid.Name = "paid"
	return rocketkit.Config{
		NameServers: []string{s.NameServer()},
		Consumers:   []config.Consumer{{Group: "pay", From: "first", Concurrency: 2, Handlers: []config.Handler{paid}}},
	}
}

// works is a running client, what its handler does, and its log.
type works struct {
	*rocketkit.Client
	now, total atomic.Int64
	log        bytes.Buffer
}

// run opens a client with a consumer whose handler takes a second for a message of the
// n that there are.
func run(t *testing.T, s cluster, cfg rocketkit.Config, n int) (*works, *consumer.Consumer) {
	t.Helper()
	w := &works{}
	var err error
	w.Client, err = rocketkit.Open(t.Context(), cfg, rocketkit.WithDial(s.Dial), rocketkit.WithLogger(slog.New(slog.NewTextHandler(&w.log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	p := newProducer(t, w.Client, "producers")
	for range n {
		if _, err := p.Send(t.Context(), message.New("payments", []byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	mux := consumer.NewMux("pay")
	consumer.Handle(mux, "payments", func(ctx context.Context, _ string) error {
		w.now.Add(1)
		defer w.now.Add(-1)
		w.total.Add(1)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
		return nil
	}, consumer.Name("paid"))
	c, err := w.NewConsumer(mux)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil { // what is left is no matter
			t.Error(err)
		}
	})
	time.Sleep(10500 * time.Millisecond) // it has its queues
	return w, c
}

func TestAReloadChangesWhatRuns(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		w, c := run(t, s, payments(s, config.Handler{Concurrency: 3}), 500)
		reload := func(what string, cfg rocketkit.Config, atWork int64) {
			t.Helper()
			if err := w.Reload(cfg); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if n := w.now.Load(); n != atWork {
				t.Errorf("%s: %d at work, want %d", what, n, atWork)
			}
		}
		reload("as it was", payments(s, config.Handler{Concurrency: 3}), 3)
		reload("more at once", payments(s, config.Handler{Concurrency: 7}), 7)
		reload("the group's own", payments(s, config.Handler{}), 2)
		reload("paused", payments(s, config.Handler{Paused: true}), 0)
		if p := c.Paused(); len(p) != 1 {
			t.Errorf("paused are %v", p)
		}
		reload("resumed", payments(s, config.Handler{}), 2)
		if err := c.Pause("paid"); err != nil {
			t.Fatal(err)
		}
		reload("paused by the program", payments(s, config.Handler{Concurrency: 5}), 0)
		if err := c.Resume(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // five have begun
		before := w.total.Load()
		reload("at a rate", payments(s, config.Handler{Concurrency: 50, RateLimit: 1}), 1)
		if n := w.total.Load() - before; n > 4 {
			t.Errorf("%d messages in 2 s at one a second", n)
		}
		quiet := payments(s, config.Handler{Paused: true})
		quiet.LogLevel = "error"
		reload("quiet", quiet, 0)
		logged := w.log.Len()
		reload("quietly", payments(s, config.Handler{Paused: true, Concurrency: 4}), 0)
		if !strings.Contains(w.log.String(), "configuration reloaded") || !strings.Contains(w.log.String(), "paused from nothing to true") || w.log.Len() == logged {
			t.Errorf("the log:\n%s", &w.log)
		}
		later := consumer.NewMux("pay2", consumer.Concurrency(1))
		consumer.Handle(later, "payments", func(context.Context, string) error { return nil }, consumer.Name("paid"))
		cfg := payments(s, config.Handler{})
		cfg.Consumers = append(cfg.Consumers, config.Consumer{Group: "pay2", Handlers: []config.Handler{{Name: "paid", Paused: true}}})
		reload("for what is made later", cfg, 2)
		if c2, err := w.NewConsumer(later); err != nil || len(c2.Paused()) != 1 {
			t.Errorf("made later: %v", err)
		}
	})
}

func TestAReloadThatIsRefusedChangesNothing(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		cfg := payments(s, config.Handler{})
		w, c := run(t, s, cfg, 200)
		for name, tc := range map[string]struct {
			change func(*rocketkit.Config)
			want   []string
		}{
			"what needs a restart": {func(c *rocketkit.Config) {
				c.Producer.SendTimeout = time.Second
				c.Credentials = config.Credentials{AccessKey: "ak", SecretKey: "hunter2"}
			}, []string{"restart required", "producer.send_timeout from nothing to 1s", "credentials.secret_key (redacted)"}},
			"what is wrong": {func(c *rocketkit.Config) { c.Producer.RateLimit = -1 }, []string{"producer.rate_limit"}},
			"a handler that there is not": {func(c *rocketkit.Config) {
				c.Consumers[0].Handlers = append(c.Consumers[0].Handlers, config.Handler{Name: "payd", Concurrency: 9})
			}, []string{"nothing was changed", `did you mean "paid"?`}},
		} {
			next := payments(s, config.Handler{Paused: true, Concurrency: 9})
			next.LogLevel = "error"
			tc.change(&next)
			err := w.Reload(next)
			if err == nil {
				t.Fatalf("%s: it was taken", name)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %s is not in %v", name, want, err)
				}
			}
			if r := new(config.RestartError); errors.As(err, &r) != (name == "what needs a restart") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if n := w.now.Load(); n != 2 || len(c.Paused()) != 0 {
				t.Errorf("%s: %d at work, paused are %v", name, n, c.Paused())
			}
		}
		if err := w.Reload(cfg); err != nil {
			t.Errorf("as it was: %v", err)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.Reload(cfg); !errors.Is(err, message.ErrClosed) {
			t.Errorf("of a closed client: %v", err)
		}
	})
}

func TestAClientFollowsItsFile(t *testing.T) {
	t.Parallel()
	b, err := brokerlite.Start(t.Context(), brokerlite.InMemory())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(t.TempDir(), "app.yaml")
	write := func(handler string) {
		t.Helper()
		text := fmt.Sprintf("name_servers: %s\nconsumers: [{group: pay, handlers: [{name: paid, %s}]}]\n", b.NameServer(), handler)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("paused: true")
	cfg, err := load.Load(load.File(path), load.Environ(nil))
	if err != nil {
		t.Fatal(err)
	}
	client, err := rocketkit.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := consumer.NewMux("pay")
	consumer.Handle(mux, "payments", func(context.Context, string) error { return nil }, consumer.Name("paid"))
	c, err := client.NewConsumer(mux)
	if err != nil {
		t.Fatal(err)
	}
	watcher := load.NewWatcher(client.Reload, load.File(path), load.Environ(nil))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	over := make(chan error, 1)
	go func() { over <- rocketkit.Run(ctx, client, c, watcher) }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			select {
			case <-ctx.Done():
				t.Fatal(what)
			case <-time.After(time.Millisecond):
			}
		}
	}
	if len(c.Paused()) != 1 {
		t.Error("it is not paused at the start")
	}
	defer cancel()
	write("paused: false")
	until("it was not resumed", func() bool { return len(c.Paused()) == 0 })
	write("paused: true, batch_size: 7")
	until("what needs a restart was taken", func() bool {
		r := new(config.RestartError)
		return errors.As(watcher.Err(), &r)
	})
	if len(c.Paused()) != 0 {
		t.Error("part of what needs a restart was taken")
	}
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
}
