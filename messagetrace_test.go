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
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/txn"
)

// passes has a message go from the group shop to the group billing, by a client that ends
// then, and returns its id. So many go before it.
func (s cluster) passes(c *rocketkit.Client, before int) string {
	s.t.Helper()
	r, err := newProducer(s.t, c, "shop").Send(s.t.Context(), message.New("orders", []byte("x")))
	if err != nil {
		s.t.Fatal(err)
	}
	consume(s.t, c, "billing", "orders").take(before + 1)
	if err := c.Close(); err != nil {
		s.t.Fatal(err)
	}
	return r.MessageID
}

// traced is what is traced of a message in a topic, "" for RMQ_SYS_TRACE_TOPIC.
func (s cluster) traced(id, topic string) ([]admin.TraceEvent, error) {
	s.t.Helper()
	a, err := s.connect().Admin()
	if err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait() // the route of a new topic comes after the answer to its first message
	return a.Trace(s.t.Context(), id, admin.Between{}, topic)
}

// types are those of events.
func types(events []admin.TraceEvent) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Type)
	}
	return strings.Join(all, " ")
}

func TestADrainSendsTheRestOfTheMessageTrace(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		id := s.passes(s.connect(rocketkit.WithMessageTrace("")), 0)
		if got, err := s.traced(id, ""); err != nil || types(got) != "Pub SubBefore SubAfter" {
			t.Errorf("traced: %+v, %v", got, err)
		}
	}, brokerlite.Conf("traceTopicEnable=true"))
}

func TestTheConfigurationSwitchesTheMessageTrace(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		on    *bool
		topic string
		opts  []rocketkit.Option
		goes  string
	}{
		"off unless it is asked for":        {nil, "", nil, ""},
		"on by the configuration":           {ptr(true), "", nil, "RMQ_SYS_TRACE_TOPIC"},
		"to the configured topic":           {ptr(true), "OUR_TRACE", []rocketkit.Option{rocketkit.WithMessageTrace("ANOTHER")}, "OUR_TRACE"},
		"on by the program":                 {nil, "", []rocketkit.Option{rocketkit.WithMessageTrace("OUR_TRACE")}, "OUR_TRACE"},
		"off by the configuration, however": {ptr(false), "", []rocketkit.Option{rocketkit.WithMessageTrace("")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, func(t *testing.T, s cluster) {
				cfg := rocketkit.Config{NameServers: []string{s.NameServer()}}
				cfg.Telemetry.MessageTrace, cfg.Telemetry.MessageTraceTopic = tc.on, tc.topic
				c, err := rocketkit.Open(t.Context(), cfg, append(tc.opts, rocketkit.WithDial(s.Dial))...)
				if err != nil {
					t.Fatal(err)
				}
				r, err := newProducer(t, c, "shop").Send(t.Context(), message.New("orders", []byte("x")))
				if err := errors.Join(err, c.Close()); err != nil {
					t.Fatal(err)
				}
				for _, topic := range []string{"RMQ_SYS_TRACE_TOPIC", "OUR_TRACE", "ANOTHER"} {
					got, err := s.traced(r.MessageID, topic)
					if topic == tc.goes && (err != nil || len(got) != 1) || topic != tc.goes && !errors.Is(err, message.ErrNoRoute) {
						t.Errorf("to %s: %v, %v", topic, got, err)
					}
				}
			})
		})
	}
}

func TestAWrongTopicOfTheMessageTraceIsRefused(t *testing.T) {
	t.Parallel()
	cfg := base()
	cfg.Telemetry.MessageTraceTopic = "no topic"
	if _, err := rocketkit.Open(t.Context(), cfg, rocketkit.WithMessageTrace("nor this")); err == nil ||
		!strings.Contains(err.Error(), "message_trace_topic") || !strings.Contains(err.Error(), "WithMessageTrace") {
		t.Errorf("open: %v", err)
	}
}

// Java's clients send their trace without a namespace, and name topics and groups in it
// without theirs.
func TestTheMessageTraceHasNoNamespace(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"RMQ_SYS_TRACE_TOPIC", "OUR_TRACE"} {
		t.Run(topic, func(t *testing.T) {
			inCluster(t, func(t *testing.T, s cluster) {
				c, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{s.NameServer()}, Namespace: "eu"},
					rocketkit.WithMessageTrace(topic), rocketkit.WithDial(s.Dial))
				if err != nil {
					t.Fatal(err)
				}
				events, err := s.traced(s.passes(c, 0), topic)
				if err != nil || len(events) != 3 {
					t.Fatalf("traced: %+v, %v", events, err)
				}
				if e := events[0]; e.Topic != "orders" || e.Group != "shop" || events[2].Group != "billing" {
					t.Errorf("names: %+v", events)
				}
			})
		})
	}
}

// A server without the trace topic harms nobody, and is complained about once.
func TestARefusedMessageTraceFailsNoSend(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		a, err := s.connect().Admin()
		if err != nil {
			t.Fatal(err)
		}
		if err := a.CreateTopic(t.Context(), admin.Topic{Name: "orders", ReadQueues: 4, WriteQueues: 4}); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		c := s.connect(rocketkit.WithMessageTrace(""), rocketkit.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		p := newProducer(t, c, "shop")
		begin := time.Now()
		for range 100 {
			if _, err := p.Send(t.Context(), message.New("orders", []byte("x"))); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("100 sends took %s", took)
		}
		time.Sleep(30 * time.Second)
		consume(t, c, "billing", "orders").take(100)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "records of the message trace are lost"); n != 2 { // and what is lost by then, at the end
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
	}, brokerlite.AutoCreateTopics(false))
}

// undecided has a producer of c leave a transaction open, which it commits when it is asked.
func (s cluster) undecided(c *rocketkit.Client) (id string) {
	s.t.Helper()
	asked := make(chan struct{}, 1)
	kind := txn.NewKind("paid", "orders", func(context.Context, *message.Delivery) error {
		asked <- struct{}{}
		return nil
	})
	p := newProducer(s.t, c, "decides", txn.Kinds(kind))
	r, err := kind.Send(s.t.Context(), p, message.New("orders", []byte("x")), func(context.Context, message.SendResult) error { return errors.New("who knows") })
	var local *txn.LocalError
	if !errors.As(err, &local) {
		s.t.Fatal(err)
	}
	<-asked
	synctest.Wait()
	return r.MessageID
}

// The broker says that nothing is to be traced.
func TestABrokerSwitchesTheMessageTraceOff(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		c := s.connect(rocketkit.WithMessageTrace(""))
		ids := []string{s.undecided(c), s.passes(c, 1)}
		for _, id := range ids {
			if got, err := s.traced(id, ""); err != nil || len(got) > 0 {
				t.Errorf("traced: %+v, %v", got, err)
			}
		}
	}, brokerlite.Conf("traceTopicEnable=true\ntraceOn=false"))
}

// Every record names the region of the broker that was asked, and none the broker that was
// not heard of: as with Java's clients, a oneway send has no record.
func TestTheMessageTraceIsOfWhatABrokerAnswered(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		c := s.connect(rocketkit.WithMessageTrace(""))
		p := newProducer(t, c, "post")
		timer, err := p.Send(t.Context(), message.New("orders", []byte("x"), delay.After(time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Recall(t.Context(), "orders", timer.RecallHandle); err != nil {
			t.Fatal(err)
		}
		if err := p.Recall(t.Context(), "orders", timer.RecallHandle+"x"); err == nil {
			t.Error("a wrong handle recalls")
		}
		if err := p.SendOneway(t.Context(), message.New("notes", []byte("x"))); err != nil {
			t.Fatal(err)
		}
		var oneway string
		for id := range consume(t, c, "clerk", "notes").take(1) {
			oneway = id
		}
		undecided := s.undecided(c)
		for id, want := range map[string]string{
			s.passes(c, 1): "Pub SubBefore SubAfter", timer.MessageID: "Pub Recall", undecided: "Pub EndTransaction EndTransaction SubBefore SubAfter",
			oneway: "SubBefore SubAfter",
		} {
			events, err := s.traced(id, "")
			if got := types(events); err != nil || got != want {
				t.Errorf("traced %s, %v, want %s", got, err, want)
			}
			for _, e := range events {
				if e.Region != "eu-7" && e.Type != "SubAfter" { // which has none
					t.Errorf("%s is of region %q", e.Type, e.Region)
				}
			}
		}
	}, brokerlite.Conf("traceTopicEnable=true\nregionId=eu-7\nrecallMessageEnable=true"))
}

// The trace is signed like everything else. An account needs no right for Apache's own
// trace topic; without the right for another its sends are not harmed.
func TestTheMessageTraceIsSigned(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "plain_acl.yml")
	text := "accounts:\n- {accessKey: operator, secretKey: operator-secret, admin: true}\n- {accessKey: shopkeeper, secretKey: shopkeeper-secret, topicPerms: [orders=PUB|SUB], groupPerms: [billing=SUB]}\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for topic, goes := range map[string]bool{"RMQ_SYS_TRACE_TOPIC": true, "OUR_TRACE": false} {
		t.Run(topic, func(t *testing.T) {
			inCluster(t, func(t *testing.T, s cluster) {
				as := func(key string, opts ...rocketkit.Option) *rocketkit.Client {
					c, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{s.NameServer()}, Credentials: config.Credentials{AccessKey: key, SecretKey: key + "-secret"}},
						append(opts, rocketkit.WithDial(s.Dial))...)
					if err != nil {
						t.Fatal(err)
					}
					return c
				}
				root := as("operator")
				a, err := root.Admin()
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"orders", "OUR_TRACE"} {
					if err := a.CreateTopic(t.Context(), admin.Topic{Name: name, ReadQueues: 1, WriteQueues: 1}); err != nil {
						t.Fatal(err)
					}
				}
				var log bytes.Buffer
				c := as("shopkeeper", rocketkit.WithMessageTrace(topic), rocketkit.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				events, err := a.Trace(t.Context(), s.passes(c, 0), admin.Between{}, topic)
				if err != nil || goes != (len(events) == 3) || goes == strings.Contains(log.String(), "NO_PERMISSION") {
					t.Errorf("traced %+v, %v\n%s", events, err, log.String())
				}
				if err := root.Close(); err != nil {
					t.Error(err)
				}
			}, brokerlite.ACLFile(rules), brokerlite.Conf("traceTopicEnable=true"))
		})
	}
}

// What the message trace costs a producer that sends as fast as it can.
func BenchmarkSendAsyncWithMessageTrace(b *testing.B) {
	for name, opts := range map[string][]rocketkit.Option{"off": nil, "on": {rocketkit.WithMessageTrace("")}} {
		b.Run(name, func(b *testing.B) {
			broker, err := brokerlite.Start(b.Context(), brokerlite.Dir(b.TempDir()), brokerlite.Conf("traceTopicEnable=true"))
			if err != nil {
				b.Fatal(err)
			}
			defer broker.Close(context.Background())
			c, err := rocketkit.Open(b.Context(), rocketkit.Config{NameServers: []string{broker.NameServer()}}, opts...)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			p, err := c.NewProducer("bench")
			if err != nil {
				b.Fatal(err)
			}
			m := message.New("orders", make([]byte, 256), message.Key("order-7"))
			if _, err := p.Send(b.Context(), m); err != nil {
				b.Fatal(err)
			}
			var left sync.WaitGroup
			b.ReportAllocs()
			b.SetBytes(int64(len(m.Body)))
			for b.Loop() {
				left.Add(1)
				p.SendAsync(context.Background(), m, func(_ context.Context, _ message.SendResult, err error) {
					if err != nil {
						b.Error(err)
					}
					left.Done()
				})
			}
			left.Wait()
		})
	}
}

// What is stored less safely than it should be is traced as a failure; a half message of
// that kind is rolled back before its local transaction runs.
func TestAWeakStatusIsTraced(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		c := s.connect(rocketkit.WithMessageTrace(""))
		kind := txn.NewKind("paid", "orders", func(context.Context, *message.Delivery) error { return nil })
		p := newProducer(t, c, "shop", txn.Kinds(kind), producer.RequireDurable())
		weak, err := c.NewProducer("weak", txn.Kinds(kind))
		if err != nil {
			t.Fatal(err)
		}
		const sendV2, flushDiskTimeout = 310, 10
		s.Fault(brokerlite.Match{Code: sendV2, Topic: "orders"}, brokerlite.ReplaceAnswer(flushDiskTimeout))
		var notDurable *producer.NotDurableError
		if _, err := p.Send(t.Context(), message.New("orders", []byte("x"))); !errors.As(err, &notDurable) {
			t.Fatal(err)
		}
		half, err := kind.Send(t.Context(), weak, message.New("orders", []byte("x")), func(context.Context, message.SendResult) error { return nil })
		if !errors.Is(err, txn.ErrNotRun) {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]string{
			notDurable.Result.MessageID: "[Pub Normal_Msg false ]",
			half.MessageID:              "[Pub Trans_Msg_Half false  EndTransaction  false ROLLBACK_MESSAGE]",
		} {
			events, err := s.traced(id, "")
			var got []string
			for _, e := range events {
				got = append(got, fmt.Sprint(e.Type, " ", e.MessageType, " ", e.Success, " ", e.State))
			}
			if err != nil || fmt.Sprint(got) != want {
				t.Errorf("traced %v, %v, want %s", got, err, want)
			}
		}
	}, brokerlite.Conf("traceTopicEnable=true"))
}
