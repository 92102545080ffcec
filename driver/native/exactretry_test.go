package native

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

func TestExactRetryDelayIsATimerMessage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, _ := consumeOne(t, driver.SubscriptionConfig{MaxRetries: 4}, driver.Verdict{Delay: 1234 * time.Millisecond})
		b := c.brokers["a"]
		b.put(orders0, protocol.Record{Body: []byte("body"), BornTimestamp: 77, Properties: props("UNIQ_KEY=ID;TAGS=t;DELAY=2;")})
		synctest.Wait()
		reqs := b.requests(protocol.SendMessageV2)
		if len(reqs) != 1 || len(b.requests(protocol.SendMessageBack)) != 0 {
			t.Fatalf("%d sends", len(reqs))
		}
		first := b.stored(t, orders0)[0]
		want := map[string]string{
			"a": "group", "b": message.RetryTopic("group"), "c": "TBW102", "d": "4", "e": "-1", "f": "0", "g": "77", "h": "0",
			"i": string(props(fmt.Sprintf("UNIQ_KEY=ID;TAGS=t;ORIGIN_MESSAGE_ID=%s;RETRY_TOPIC=orders;TIMER_DELIVER_MS=%d;",
				protocol.OffsetMessageID(first.StoreHost, 0), time.Now().UnixMilli()+1234))),
			"j": "1", "k": "false", "l": "4", "m": "false", "n": "a",
		}
		if diff := cmp.Diff(want, reqs[0].fields); diff != "" {
			t.Error(diff)
		}
	})
}

func TestExactRetryDelayAtTheMaximumIsADeadLetter(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		delayed := driver.Verdict{Delay: time.Second}
		c, _ := consumeOne(t, driver.SubscriptionConfig{MaxRetries: 1}, delayed, delayed, delayed)
		putOne(c)
		pass(time.Minute)
		if n := len(c.brokers["a"].stored(t, letters)); n != 1 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func TestExactRetryDelayWhereTheBrokerHasNoTimer(t *testing.T) {
	const unanswered = -1
	tests := []struct {
		name    string
		version int32
		strict  bool
		refuse  protocol.Code // of the send, 0: none
		back    []string      // levels of the send-backs
	}{
		{"4.9 takes the next level up", protocol.VersionV4_9_7, false, 0, []string{"3"}},
		{"4.9, strict: exactly, but here", protocol.VersionV4_9_7, true, 0, nil},
		{"the timer is off", protocol.VersionV5_4_0, false, protocol.SystemError, []string{"3"}},
		{"too far ahead", protocol.VersionV5_4_0, false, protocol.MessageIllegal, []string{"3"}},
		{"too far ahead, strict", protocol.VersionV5_4_0, true, protocol.MessageIllegal, nil},
		{"the broker is busy", protocol.VersionV5_4_0, false, protocol.SystemBusy, []string{"3"}},
		{"the broker is busy, strict", protocol.VersionV5_4_0, true, protocol.SystemBusy, nil},
		{"there is no answer", protocol.VersionV5_4_0, false, unanswered, []string{"3"}},
		{"there is no answer, strict", protocol.VersionV5_4_0, true, unanswered, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t)
				b := c.startBroker("a", "10.0.0.1:10911", tt.version)
				c.addTopic("orders", 1)
				switch tt.refuse {
				case 0:
				case unanswered:
					b.ignore(protocol.SendMessageV2)
				default:
					b.refuse(protocol.SendMessageV2, tt.refuse)
				}
				verdict := driver.Verdict{Delay: 7 * time.Second, Strict: tt.strict}
				sink := &collector{handle: func(d delivery) {
					if d.ReconsumeTimes == 0 {
						d.settle(verdict)
						return
					}
					d.ack()
				}}
				subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
				pass(2 * time.Second)
				putOne(c)
				pass(20 * time.Second)
				var levels []string
				for _, r := range b.requests(protocol.SendMessageBack) {
					levels = append(levels, r.fields["delayLevel"])
				}
				if diff := cmp.Diff(tt.back, levels); diff != "" {
					t.Error(diff)
				}
				got := sink.all()
				if len(got) != 2 {
					t.Fatalf("%d deliveries", len(got))
				}
				if d := got[1].at.Sub(got[0].at); tt.strict && d != verdict.Delay {
					t.Errorf("came after %s, want exactly %s", d, verdict.Delay)
				}
				if tt.strict && !strings.Contains(c.logs.String(), "not taken back") {
					t.Error("nothing was logged")
				}
				pass(6 * time.Second)
				if o := b.committed("group", orders0); o != 1 {
					t.Errorf("committed %d", o)
				}
			})
		})
	}
}

// A broker that is gone for a while gets the message when it is back, which comes when
// it was to come; the handler does not see it before.
func TestExactRetryDelayOutlastsABrokerThatIsGone(t *testing.T) {
	const delay = 32 * time.Second // not a multiple of the 5 s that it is tried again after
	for name, tt := range map[string]struct {
		gone time.Duration
		sent int // timer messages
	}{
		"for a part of it": {12 * time.Second, 1},
		"for all of it":    {33 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 1)
				b := c.brokers["a"]
				sink := &collector{handle: func(d delivery) {
					if d.ReconsumeTimes == 0 {
						c.net.Cut(b.addr)
						d.settle(driver.Verdict{Delay: delay})
						return
					}
					d.ack()
				}}
				subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
				pass(2 * time.Second)
				began := time.Now()
				putOne(c)
				pass(tt.gone)
				c.net.Restore(b.addr)
				if n := len(sink.all()); n > 2 || n == 2 && time.Since(began) < delay {
					t.Fatalf("%d deliveries while the broker is gone\n%s", n, c.logs)
				}
				pass(max(0, 29*time.Second-tt.gone))
				sends := b.requests(protocol.SendMessageV2)
				if len(sends) != tt.sent {
					t.Fatalf("%d timer messages, want %d", len(sends), tt.sent)
				}
				for _, r := range sends {
					if want := fmt.Sprintf("TIMER_DELIVER_MS\x01%d\x02", began.Add(delay).UnixMilli()); !strings.Contains(r.fields["i"], want) {
						t.Errorf("properties %q, want %q", r.fields["i"], want)
					}
				}
				if len(b.requests(protocol.SendMessageBack)) != 0 {
					t.Error("it was sent back to a level as well")
				}
				pass(40 * time.Second)
				got := sink.all()
				if len(got) != 2 || got[1].ReconsumeTimes != 1 || got[1].ID != got[0].ID {
					t.Fatalf("%d deliveries", len(got))
				}
				if wait := got[1].at.Sub(began); tt.sent == 0 && wait.Round(time.Millisecond) != delay {
					t.Errorf("here it came after %s, want exactly %s", wait, delay)
				}
				if o := b.committed("group", orders0); o != 1 {
					t.Errorf("committed %d, want 1", o)
				}
			})
		})
	}
}

func TestAStartNeedsBrokersThatKeepExactRetries(t *testing.T) {
	for name, tt := range map[string]struct {
		version int32
		topic   string
		refused bool
	}{
		"5.4 does":                      {protocol.VersionV5_4_0, "orders", false},
		"4.9 does not":                  {protocol.VersionV4_9_7, "orders", true},
		"a topic that is not there yet": {protocol.VersionV4_9_7, "later", false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.startBroker("a", "10.0.0.1:10911", tt.version)
				c.addTopic("orders", 1)
				d := c.open()
				sub, err := d.NewSubscription(driver.SubscriptionConfig{
					Group: "group", Topics: []driver.TopicFilter{{Topic: tt.topic}}, ExactRetries: true,
				}, &collector{})
				if err != nil {
					t.Fatal(err)
				}
				err = sub.Start(t.Context())
				var why *UnsupportedError
				if errors.As(err, &why) != tt.refused || tt.refused && (!errors.Is(err, message.ErrUnsupported) || why.Broker != "a" || !strings.Contains(err.Error(), "retry messages of topic orders after exact delays")) {
					t.Errorf("start: %v", err)
				}
				if !tt.refused && err != nil {
					t.Errorf("start: %v", err)
				}
				if err := sub.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
