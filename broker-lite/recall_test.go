package brokerlite

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// recall takes a message back.
func (c *client) recall(topic, handle string) (protocol.Code, protocol.RecallResponse) {
	c.t.Helper()
	resp := c.call(protocol.RecallMessage, &protocol.RecallRequest{ProducerGroup: "producers", Topic: topic, Handle: handle}, nil)
	var r protocol.RecallResponse
	if err := r.DecodeFields(resp.Fields); err != nil {
		c.t.Fatal(err)
	}
	return resp.Code, r
}

func TestATimerMessageCanBeRecalled(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		begun := now()
		at := begun.Add(90*time.Second + 250*time.Millisecond)
		sent := c.send(sending("orders", "TIMER_DELIVER_MS", itoa(at.UnixMilli()), "UNIQ_KEY", "mine"), "recalled")
		c.send(sending("orders", "TIMER_DELIVER_MS", itoa(at.UnixMilli()), "UNIQ_KEY", "other"), "kept")
		c.send(sending("orders", "TIMER_DELAY_MS", "3600000", "UNIQ_KEY", "mine"), "later")
		h, err := protocol.ParseRecallHandle(sent.RecallHandle)
		if err != nil {
			t.Fatal(err)
		}
		want := protocol.RecallHandle{Topic: "orders", BrokerName: "broker-a", Timestamp: itoa(at.UnixMilli()/1000*1000 + 1), UniqueKey: "mine"}
		if diff := cmp.Diff(want, h); diff != "" {
			t.Errorf("handle (-want +got):\n%s", diff)
		}
		if code, r := c.recall("orders", sent.RecallHandle); code != protocol.Success || r.MessageID != "mine" {
			t.Errorf("%s: %+v", protocol.ResponseName(code), r)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]string{"kept", "later"}, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestARecallIsRefusedThatCannotHelp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.createTopic("others", 1)
		if h := c.send(sending("orders", "DELAY", "1"), "level").RecallHandle; h != "" {
			t.Errorf("a delay level has the handle %s", h)
		}
		handle := c.send(sending("orders", "TIMER_DELAY_MS", "10000", "UNIQ_KEY", "k"), "timer").RecallHandle
		foreign := protocol.RecallHandle{Topic: "orders", BrokerName: "broker-b", Timestamp: itoa(time.Now().Add(time.Minute).UnixMilli()), UniqueKey: "k"}
		for name, test := range map[string]struct {
			topic, handle string
			code          protocol.Code
		}{
			"no topic":     {"none", handle, protocol.TopicNotExist},
			"other topic":  {"others", handle, protocol.IllegalOperation},
			"other broker": {"orders", foreign.String(), protocol.IllegalOperation},
			"no handle":    {"orders", "nonsense", protocol.IllegalOperation},
		} {
			if code, _ := c.recall(test.topic, test.handle); code != test.code {
				t.Errorf("%s: %s", name, protocol.ResponseName(code))
			}
		}
		time.Sleep(11 * time.Second)
		if code, _ := c.recall("orders", handle); code != protocol.IllegalOperation {
			t.Errorf("too late: %s", protocol.ResponseName(code))
		}
		if diff := cmp.Diff([]string{"level", "timer"}, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
		late := c.call(protocol.SendMessageV2, sending("orders", "TIMER_DELIVER_MS", "1", "TIMER_DEL_UNIQKEY", "k"), []byte("x"))
		if late.Code != protocol.MessageIllegal || !strings.Contains(late.Remark, "if set del msg") {
			t.Errorf("%s: %s", protocol.ResponseName(late.Code), late.Remark)
		}
	})
}

func TestARecallThatIsStoredTooLateIsRefused(t *testing.T) {
	onDisk(t, func(t *testing.T, b *Broker, c *client, disk *stallingDisk) {
		c.createTopic("orders", 1)
		handle := c.send(sending("orders", "TIMER_DELAY_MS", "3000"), "timer").RecallHandle
		disk.stall()
		code := make(chan protocol.Code, 1)
		d := dial(t, b)
		go func() {
			got, _ := d.recall("orders", handle)
			code <- got
		}()
		time.Sleep(5 * time.Second)
		disk.resume()
		if got := <-code; got != protocol.IllegalOperation {
			t.Errorf("%s", protocol.ResponseName(got))
		}
	})
}

func TestRecallsCanBeForbidden(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		handle := c.send(sending("orders", "TIMER_DELAY_MS", "10000"), "timer").RecallHandle
		if code, _ := c.recall("orders", handle); code != protocol.NoPermission {
			t.Errorf("%s", protocol.ResponseName(code))
		}
	}, Conf("recallMessageEnable=false"))
}

// TestAMessageCanRecallAnother: clients before 5.4 send what recalls themselves, with
// or without the topic.
func TestAMessageCanRecallAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		at := itoa(now().Add(time.Hour).UnixMilli())
		for _, id := range []string{"a", "b", "c"} {
			c.send(sending("orders", "TIMER_DELIVER_MS", at, "UNIQ_KEY", id), id)
		}
		c.send(sending("orders", "TIMER_DELIVER_MS", at, "TIMER_DEL_UNIQKEY", "a"), "x")
		time.Sleep(59*time.Minute + 59*time.Second + 500*time.Millisecond) // its second has begun
		c.send(sending("orders", "TIMER_DELIVER_MS", at, "TIMER_DEL_UNIQKEY", "orders+c"), "x")
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"b"}, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestARecallSurvivesARestart(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		for name, before := range map[string]time.Duration{"early": time.Hour, "in its second": 100 * time.Millisecond} {
			t.Run(how+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRestart(t)
					c := dial(t, r.b)
					c.createTopic("orders", 1)
					var handles []string
					begun := now().Truncate(time.Minute)
					for _, ms := range []int{1, 500, 999, 1000} { // across the end of a minute
						at := begun.Add(3*time.Hour + 59*time.Second + time.Duration(ms)*time.Millisecond)
						handles = append(handles, c.send(sending("orders", "TIMER_DELIVER_MS", itoa(at.UnixMilli())), itoa(int64(ms))).RecallHandle)
					}
					c.send(sending("orders", "TIMER_DELAY_MS", itoa((3*time.Hour+time.Minute).Milliseconds())), "kept")
					for _, i := range []int{1, 3} {
						if code, _ := c.recall("orders", handles[i]); code != protocol.Success {
							t.Fatal(protocol.ResponseName(code))
						}
					}
					time.Sleep(time.Until(begun.Add(3*time.Hour + 59*time.Second + 200*time.Millisecond - before)))
					r.again(how)
					time.Sleep(time.Hour + time.Minute)
					c = r.again(how)
					time.Sleep(4 * time.Hour)
					synctest.Wait()
					got := slices.Compact(bodies(c.messages("orders", 0))) // a crash may repeat one
					if diff := cmp.Diff([]string{"1", "999", "kept"}, got); diff != "" {
						t.Error(diff)
					}
				})
			})
		}
	}
}

func TestARecallKnowsTheDelayThatIsTheLimitNow(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.createTopic("orders", 1)
		handle := c.send(sending("orders", "TIMER_DELAY_MS", "60000", "UNIQ_KEY", "k"), "x").RecallHandle
		c.ok(protocol.UpdateBrokerConfig, nil, []byte("timerMaxDelaySec=10"))
		if code, _ := c.recall("orders", handle); code != protocol.IllegalOperation {
			t.Errorf("a minute ahead: %s", protocol.ResponseName(code))
		}
		time.Sleep(51 * time.Second)
		if code, _ := c.recall("orders", handle); code != protocol.Success {
			t.Errorf("nine seconds ahead: %s", protocol.ResponseName(code))
		}
	})
}
