package brokerlite

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// asker is a client that waits for replies; it answers each with a code, nothing with
// -1.
func asker(t *testing.T, b *Broker, id string, code protocol.Code) *client {
	t.Helper()
	c := dial(t, b)
	c.mu.Lock()
	c.answering = func(conn *remoting.Conn, cmd *protocol.Command) {
		if cmd.Code == protocol.PushReply && code >= 0 {
			resp := cmd.Response(code, "")
			if err := conn.Reply(&resp, nil); err != nil {
				t.Error(err)
			}
		}
	}
	c.mu.Unlock()
	c.heartbeat(id, "askers", "")
	return c
}

func replying(code protocol.Code, props ...string) *protocol.SendRequest {
	h := sending("DefaultCluster_REPLY_TOPIC", props...)
	h.Code = code
	return h
}

func TestAReplyReachesTheClientThatAsked(t *testing.T) {
	for _, code := range []protocol.Code{protocol.SendReply, protocol.SendReplyV2} {
		t.Run(protocol.RequestName(code), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				other, one := asker(t, b, "other", protocol.Success), asker(t, b, "one", protocol.Success)
				h := replying(code, "REPLY_TO_CLIENT", "one", "CORRELATION_ID", "7")
				h.Flag, h.ReconsumeTimes, h.SysFlag = 5, 2, protocol.SysCompressed
				answer := c.send(h, "the reply")
				if answer.QueueID != 0 || answer.QueueOffset != 0 || len(answer.MessageID) != 32 || answer.TraceOn != "true" || answer.RegionID != "DefaultRegion" {
					t.Errorf("%+v", answer)
				}
				got := one.requests(protocol.PushReply)
				if len(got) != 1 || string(got[0].Body) != "the reply" {
					t.Fatalf("%d replies", len(got))
				}
				var push protocol.PushReplyRequest
				if err := push.DecodeFields(got[0].Fields); err != nil {
					t.Fatal(err)
				}
				props := protocol.PropertiesMap(push.Properties)
				if props["PUSH_REPLY_TIME"] == "" || props["CORRELATION_ID"] != "7" {
					t.Errorf("%q", push.Properties)
				}
				push.Properties = nil
				host, _, _ := strings.Cut(push.BornHost, ":")
				want := protocol.PushReplyRequest{
					ProducerGroup: "producers", Topic: "DefaultCluster_REPLY_TOPIC", DefaultTopic: protocol.DefaultTopic, DefaultTopicQueueNums: 4,
					SysFlag: protocol.SysCompressed, BornTimestamp: h.BornTimestamp, Flag: 5, ReconsumeTimes: 2,
					BornHost: push.BornHost, StoreHost: b.Addr(), StoreTimestamp: time.Now().UnixMilli(),
				}
				if diff := cmp.Diff(want, push); diff != "" || host == "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				if n := len(other.requests(protocol.PushReply)); n != 0 {
					t.Errorf("another client got %d replies", n)
				}
				stored := c.messages("DefaultCluster_REPLY_TOPIC", 0)
				if len(stored) != 1 || string(stored[0].Body) != "the reply" || prop(stored[0], "PUSH_REPLY_TIME") != "" || prop(stored[0], "CORRELATION_ID") != "7" || stored[0].Flag != 5 {
					t.Errorf("stored: %+v", stored)
				}
			})
		})
	}
}

func TestAReplyThatReachesNobodyIsKeptAndToldOf(t *testing.T) {
	for name, test := range map[string]struct {
		props  []string
		answer protocol.Code
		remark string
		after  time.Duration
		opts   []Option
		stored int
	}{
		"nobody is named":      {nil, 0, "reply message properties[REPLY_TO_CLIENT] is null", 0, nil, 1},
		"an unknown client":    {[]string{"REPLY_TO_CLIENT", "none"}, 0, "push reply message fail, channel of <none> not found.", 0, nil, 1},
		"the client refuses":   {[]string{"REPLY_TO_CLIENT", "one"}, protocol.SystemError, "push reply message to onefail.", 0, nil, 1},
		"the client is silent": {[]string{"REPLY_TO_CLIENT", "one"}, -1, "push reply message to onefail.", 10 * time.Second, nil, 1},
		"not to be kept":       {nil, 0, "reply message properties[REPLY_TO_CLIENT] is null", 0, []Option{Conf("storeReplyMessageEnable=false")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				asker(t, b, "one", test.answer)
				begun := time.Now()
				h := replying(protocol.SendReplyV2, test.props...)
				resp := c.call(h.Code, h, []byte("x"))
				if resp.Code != protocol.SystemError || resp.Remark != test.remark || time.Since(begun) != test.after {
					t.Errorf("%s: %s after %v", protocol.ResponseName(resp.Code), resp.Remark, time.Since(begun))
				}
				if n := len(c.messages("DefaultCluster_REPLY_TOPIC", 0)); n != test.stored {
					t.Errorf("%d replies are stored", n)
				}
			}, test.opts...)
		})
	}
}

func TestAClientThatHasGoneGetsNoReply(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		asker(t, b, "one", protocol.Success).close()
		synctest.Wait()
		h := replying(protocol.SendReplyV2, "REPLY_TO_CLIENT", "one")
		if resp := c.call(h.Code, h, []byte("x")); resp.Remark != "push reply message fail, channel of <one> not found." {
			t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
		again := asker(t, b, "one", protocol.Success)
		c.send(h, "x")
		if n := len(again.requests(protocol.PushReply)); n != 1 {
			t.Errorf("%d replies", n)
		}
	})
}

func TestRepliesThatWaitAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		asker(t, b, "one", -1)
		h := replying(protocol.SendReplyV2, "REPLY_TO_CLIENT", "one")
		body := []byte(strings.Repeat("x", 1<<20))
		for range 7 {
			c.oneway(h.Code, h, body)
		}
		if resp := c.call(h.Code, h, append(body, body...)); resp.Code != protocol.SystemBusy {
			t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
		time.Sleep(11 * time.Second)
		if resp := c.call(h.Code, h, body); resp.Code != protocol.SystemError {
			t.Errorf("when they have been answered: %s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
	})
}
