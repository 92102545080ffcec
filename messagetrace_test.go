package rocketkit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

// traced are the types of what is traced of a message in a topic.
func (s cluster) traced(id, topic string) (types []string, err error) {
	s.t.Helper()
	c := s.connect()
	a, err := c.Admin()
	if err != nil {
		s.t.Fatal(err)
	}
	events, err := a.Trace(s.t.Context(), id, admin.Between{}, topic)
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types, err
}

func TestADrainSendsTheRestOfTheMessageTrace(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		c := s.connect(rocketkit.WithMessageTrace(""))
		r, err := newProducer(t, c, "shop").Send(t.Context(), message.New("orders", []byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		consume(t, c, "billing", "orders").take(1)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := s.traced(r.MessageID, ""); err != nil || fmt.Sprint(got) != "[Pub SubBefore SubAfter]" {
			t.Errorf("traced: %v, %v", got, err)
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
				r, err := newProducer(t, c, "shop").Send(t.Context(), message.New("orders", []byte("x")))
				if err != nil {
					t.Fatal(err)
				}
				consume(t, c, "billing", "orders").take(1)
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				a, err := s.connect().Admin()
				if err != nil {
					t.Fatal(err)
				}
				events, err := a.Trace(t.Context(), r.MessageID, admin.Between{}, topic)
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

// The broker says that nothing is to be traced.
func TestABrokerSwitchesTheMessageTraceOff(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		c := s.connect(rocketkit.WithMessageTrace(""))
		r, err := newProducer(t, c, "shop").Send(t.Context(), message.New("orders", []byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		consume(t, c, "billing", "orders").take(1)
		if err := c.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got, err := s.traced(r.MessageID, ""); err != nil || len(got) > 0 {
			t.Errorf("traced: %v, %v", got, err)
		}
	}, brokerlite.Conf("traceTopicEnable=true\ntraceOn=false"))
}
