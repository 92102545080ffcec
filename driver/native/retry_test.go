package native

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// consumeOne makes a cluster with one message in orders0 and a sink that settles
// every delivery with the verdicts in turn, then acknowledges.
func consumeOne(t *testing.T, cfg driver.SubscriptionConfig, verdicts ...driver.Verdict) (*cluster, *collector) {
	t.Helper()
	c := newCluster(t, "a")
	c.addTopic("orders", 1)
	sink := &collector{}
	n := 0
	sink.handle = func(d delivery) {
		if n++; n <= len(verdicts) {
			d.settle(verdicts[n-1])
			return
		}
		d.ack()
	}
	cfg.From = driver.FromFirst
	subscribe(t, c.open(), sink, cfg, "orders")
	pass(2 * time.Second)
	return c, sink
}

func putOne(c *cluster) {
	c.brokers["a"].put(orders0, protocol.Record{Body: []byte("body"), Properties: props("UNIQ_KEY=ID;TAGS=t;p=v;")})
	synctest.Wait()
}

var letters = message.Queue{Topic: message.DLQTopic("group"), Broker: "a"}

// stored are the decoded records of a queue.
func (b *scripted) stored(t testing.TB, q message.Queue) []protocol.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	var recs []protocol.Record
	for _, data := range b.queues[q] {
		var r protocol.Record
		if _, err := protocol.DecodeRecord(data, &r); err != nil {
			t.Error(err)
		}
		recs = append(recs, r)
	}
	return recs
}

func TestRetriedMessageComesBackUnderItsOwnNames(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, sink := consumeOne(t, driver.SubscriptionConfig{}, driver.Verdict{}, driver.Verdict{Level: 3})
		putOne(c)
		pass(20 * time.Second)
		got := sink.all()
		if len(got) != 3 {
			t.Fatalf("%d deliveries, want 3", len(got))
		}
		for i, d := range got {
			if d.Topic != "orders" || d.ID != "ID" || d.Tag != "t" || d.ReconsumeTimes != i || d.Property("p") != "v" || string(d.Body) != "body" {
				t.Errorf("attempt %d: %+v", i, d.Delivery)
			}
		}
		if got[1].OriginID() != got[0].OffsetID || got[2].OriginID() != got[0].OffsetID {
			t.Errorf("origin ids %q, %q, want %q", got[1].OriginID(), got[2].OriginID(), got[0].OffsetID)
		}
		if o := c.brokers["a"].committed("group", orders0); o != 1 {
			t.Errorf("committed %d, want past the message that was sent back", o)
		}
	})
}

// The header of a send-back says what the broker's rules are to work with: above
// all the maximum, which an unset one must not turn into 0.
// A settlement that says nothing acknowledges nothing: the message is handed back, and
// until the broker has it the offset does not pass it.
func TestFault3TheZeroVerdictAcknowledgesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, sink := consumeOne(t, driver.SubscriptionConfig{}, driver.Verdict{}, driver.Verdict{})
		b := c.brokers["a"]
		b.ignore(protocol.SendMessageBack)
		putOne(c)
		pass(4 * time.Second)
		if n := len(b.requests(protocol.SendMessageBack)); n != 1 || b.committed("group", orders0) > 0 {
			t.Errorf("handed back %d times, committed %d; want once, and nothing", n, b.committed("group", orders0))
		}
		b.on(protocol.SendMessageBack, nil)
		pass(time.Minute)
		if n := len(sink.all()); n < 2 || b.committed("group", orders0) != 1 {
			t.Errorf("%d deliveries, committed %d; want it again, and 1 at last", n, b.committed("group", orders0))
		}
	})
}

func TestFault20AFirstFailureIsRetried(t *testing.T) {
	tests := []struct {
		name       string
		cfg        driver.SubscriptionConfig
		v          driver.Verdict
		level, max string
	}{
		{"defaults", driver.SubscriptionConfig{}, driver.Verdict{}, "0", "16"},
		{"a level", driver.SubscriptionConfig{MaxRetries: 3}, driver.Verdict{Level: 5}, "5", "3"},
		{"the verdict's maximum", driver.SubscriptionConfig{MaxRetries: 3}, driver.Verdict{MaxRetries: 9}, "0", "9"},
		{"no retries", driver.SubscriptionConfig{MaxRetries: -1}, driver.Verdict{}, "-1", "0"},
		{"dead letter", driver.SubscriptionConfig{}, driver.Verdict{Action: driver.ActionDeadLetter}, "-1", "16"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c, _ := consumeOne(t, tt.cfg, tt.v)
				putOne(c)
				b := c.brokers["a"]
				reqs := b.requests(protocol.SendMessageBack)
				if len(reqs) != 1 {
					t.Fatalf("%d send-backs", len(reqs))
				}
				want := map[string]string{
					"offset": "0", "group": "group", "delayLevel": tt.level, "originMsgId": "ID", "originTopic": "orders",
					"unitMode": "false", "maxReconsumeTimes": tt.max, "bname": "a",
				}
				if diff := cmp.Diff(want, reqs[0].fields); diff != "" {
					t.Error(diff)
				}
				dead := len(b.stored(t, letters))
				if wantDead := tt.level == "-1"; (dead == 1) != wantDead {
					t.Errorf("%d dead letters", dead)
				}
			})
		})
	}
}

func TestRetriesEndInTheDeadLetters(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, sink := consumeOne(t, driver.SubscriptionConfig{MaxRetries: 2}, make([]driver.Verdict, 10)...)
		putOne(c)
		pass(20 * time.Second)
		if n := len(sink.all()); n != 3 {
			t.Errorf("%d deliveries, want 2 retries: 3", n)
		}
		if n := len(c.brokers["a"].stored(t, letters)); n != 1 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func TestFault21AMessageThatIsNotTakenBackStays(t *testing.T) {
	tests := []struct {
		name string
		off  func(*cluster, *scripted)
		on   func(*cluster, *scripted)
	}{
		{
			"refused",
			func(_ *cluster, b *scripted) { b.refuse(protocol.SendMessageBack, protocol.SystemError) },
			func(_ *cluster, b *scripted) { b.on(protocol.SendMessageBack, nil) },
		},
		{
			"not answered",
			func(_ *cluster, b *scripted) { b.ignore(protocol.SendMessageBack) },
			func(_ *cluster, b *scripted) { b.on(protocol.SendMessageBack, nil) },
		},
		{
			"the broker is lost",
			func(c *cluster, b *scripted) { c.net.Cut(b.addr) },
			func(c *cluster, b *scripted) { c.net.Restore(b.addr) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 1)
				b := c.brokers["a"]
				sink := &collector{}
				subscribe(t, c.open(), sink, driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
				pass(2 * time.Second)
				b.produce(orders0, 2)
				synctest.Wait()
				tt.off(c, b)
				got := sink.all()
				got[0].settle(driver.Verdict{})
				got[1].ack()
				pass(4 * time.Second)
				if n := len(sink.all()); n != 2 {
					t.Fatalf("%d deliveries, want no hot loop", n)
				}
				pass(6 * time.Second)
				got = sink.all()
				if len(got) != 3 {
					t.Fatalf("%d deliveries, want the failed message again\n%s", len(got), c.logs)
				}
				again := got[2]
				if again.ID != got[0].ID || again.ReconsumeTimes != 1 || got[0].ReconsumeTimes != 0 {
					t.Errorf("again: %s, attempt %d; before: %s, attempt %d", again.ID, again.ReconsumeTimes, got[0].ID, got[0].ReconsumeTimes)
				}
				got[0].ack() // the earlier attempt's handler has no say any more
				tt.on(c, b)
				pass(time.Minute)
				if o := b.committed("group", orders0); o > 0 {
					t.Errorf("committed %d, past the message", o)
				}
				again.ack()
				pass(time.Minute)
				if o := b.committed("group", orders0); o != 2 {
					t.Errorf("committed %d, want 2", o)
				}
			})
		})
	}
}

func TestLocalAttemptsCountTowardsTheDeadLetters(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, sink := consumeOne(t, driver.SubscriptionConfig{MaxRetries: 2}, make([]driver.Verdict, 10)...)
		b := c.brokers["a"]
		b.on(protocol.SendMessageBack, func(conn *remoting.Conn, cmd *protocol.Command) bool {
			if cmd.Fields.Value("delayLevel") == "-1" {
				return false // dead letters are taken
			}
			b.reply(conn, cmd, protocol.SystemError, nil, nil)
			return true
		})
		putOne(c)
		pass(time.Minute)
		if n := len(sink.all()); n != 3 {
			t.Errorf("%d deliveries, want 2 retries: 3", n)
		}
		if n := len(b.stored(t, letters)); n != 1 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// A broker that refuses to take a dead letter back is sent one: to the retry
// topic, with one attempt more than its maximum.
func TestDeadLetterByTheRetryTopic(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, sink := consumeOne(t, driver.SubscriptionConfig{}, driver.Verdict{Action: driver.ActionDeadLetter})
		b := c.brokers["a"]
		b.refuse(protocol.SendMessageBack, protocol.SystemError)
		b.refuse(protocol.SendMessageV2, protocol.SystemBusy)
		putOne(c)
		pass(12 * time.Second) // both ways are tried again, without the handler
		if n := len(b.requests(protocol.SendMessageV2)); n != 3 {
			t.Errorf("%d sends, want one every 5 s", n)
		}
		if o := b.committed("group", orders0); o > 0 {
			t.Errorf("committed %d, past the message", o)
		}
		b.on(protocol.SendMessageV2, func(conn *remoting.Conn, cmd *protocol.Command) bool {
			b.reply(conn, cmd, protocol.FlushDiskTimeout, &protocol.SendResponse{}, nil) // stored all the same
			return true
		})
		pass(12 * time.Second)
		reqs := b.requests(protocol.SendMessageV2)
		r := reqs[len(reqs)-1]
		got := []string{r.fields["b"], r.fields["e"], r.fields["j"], r.fields["l"], string(r.body)}
		if diff := cmp.Diff([]string{message.RetryTopic("group"), "-1", "1", "0", "body"}, got); diff != "" {
			t.Error(diff)
		}
		if len(reqs) != 4 || len(sink.all()) != 1 {
			t.Errorf("%d sends, %d deliveries", len(reqs), len(sink.all()))
		}
		if o := b.committed("group", orders0); o != 1 {
			t.Errorf("committed %d, want 1", o)
		}
	})
}

func TestCompressedBodiesAreDelivered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, sink := consumeOne(t, driver.SubscriptionConfig{}, driver.Verdict{Delay: time.Second})
		b := c.brokers["a"]
		stored := zipped(t, strings.Repeat("order ", 100))
		b.put(orders0, protocol.Record{Body: stored, SysFlag: protocol.SysCompressed | protocol.SysZlib, Properties: props("UNIQ_KEY=ID;")})
		pass(10 * time.Second)
		got := sink.all()
		if len(got) != 2 {
			t.Fatalf("%d deliveries", len(got))
		}
		for _, d := range got {
			if string(d.Body) != strings.Repeat("order ", 100) {
				t.Errorf("attempt %d: %q", d.ReconsumeTimes, d.Body)
			}
		}
		if again := b.stored(t, message.Queue{Topic: message.RetryTopic("group"), Broker: "a"}); !slices.Equal(again[0].Body, stored) {
			t.Error("the retried copy was not stored as compressed as the first")
		}
	})
}

// A body that cannot be unpacked is kept for those who can, and said so.
func TestUnreadableBodiesAreDeadLettered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, sink := consumeOne(t, driver.SubscriptionConfig{})
		b := c.brokers["a"]
		b.put(orders0, protocol.Record{Body: []byte("odd…"), SysFlag: protocol.SysCompressed | 5<<8, Properties: props("UNIQ_KEY=ID;")})
		putOne(c)
		pass(10 * time.Second)
		if got := sink.all(); len(got) != 1 || string(got[0].Body) != "body" {
			t.Errorf("%d deliveries", len(got))
		}
		dead := b.stored(t, letters)
		if len(dead) != 1 || string(dead[0].Body) != "odd…" || dead[0].SysFlag&(5<<8) == 0 {
			t.Errorf("dead letters: %+v", dead)
		}
		if !strings.Contains(c.logs.String(), "unknown compression") {
			t.Error("nothing was logged")
		}
		if o := b.committed("group", orders0); o != 2 {
			t.Errorf("committed %d, want 2", o)
		}
	})
}
