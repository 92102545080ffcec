package brokerlite

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// as calls the broker as a client of another language or version.
func (c *client) as(language protocol.Language, version int32, code protocol.Code, h protocol.Header) *protocol.Command {
	c.t.Helper()
	cmd := protocol.Command{Code: code, Codec: c.codec, Language: language, Version: version}
	resp, err := c.conn.Call(context.Background(), &cmd, h, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func TestRecordsOfLongTopicsGoToClientsThatCanReadThem(t *testing.T) {
	for _, how := range []string{"", "stop", "kill"} {
		t.Run("after "+how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRestart(t)
				c := dial(t, r.b)
				topic, group := strings.Repeat("t", 127), strings.Repeat("g", 120)
				c.createTopic(topic, 1)
				c.send(sending(topic), "long")
				h := popping(topic)
				h.ConsumerGroup = group
				c.pop(h)
				time.Sleep(time.Minute)
				if how != "" {
					c = r.again(how)
				}
				synctest.Wait()
				retry := protocol.PopRetryTopic(topic, group, false)
				if len(retry) != 255 {
					t.Errorf("the retry topic has %d bytes", len(retry))
				}
				pull := pulling(retry, 0, "*")
				p := c.pull(pull) // as Java 5.4.0
				if len(p.records) != 1 || p.records[0].Topic != retry || string(p.records[0].Body) != "long" {
					t.Fatalf("%s: %d records", p.remark, len(p.records))
				}
				id := p.records[0].PhysicalOffset
				for name, who := range map[string]struct {
					language protocol.Language
					version  int32
					ok       bool
				}{
					"client-go":  {protocol.LanguageGo, 317, false},
					"Java 4.9.7": {protocol.LanguageJava, protocol.VersionV4_9_7, false},
					"Java 5.0.0": {protocol.LanguageJava, protocol.VersionV5_0_0, true},
					"native":     {protocol.LanguageGo, protocol.ClientVersion, true},
				} {
					for code, h := range map[protocol.Code]protocol.Header{
						protocol.PullMessage:     pull,
						protocol.LitePullMessage: pull,
						protocol.ViewMessageByID: &protocol.ViewMessageRequest{Offset: id},
						protocol.PeekMessage:     &protocol.PeekRequest{Code: protocol.PeekMessage, ConsumerGroup: group, Topic: topic, QueueID: -1, MaxMessages: 8},
					} {
						resp := c.as(who.language, who.version, code, h)
						if ok := resp.Code == protocol.Success; ok != who.ok || ok != (len(resp.Body) > 0) {
							t.Errorf("%s, %s: %s: %s", name, protocol.RequestName(code), protocol.ResponseName(resp.Code), resp.Remark)
						}
					}
				}
				// A pop's answer has the short name.
				h.BornTime = time.Now().UnixMilli()
				if resp := c.as(protocol.LanguageGo, 317, protocol.PopMessage, h); resp.Code != protocol.Success {
					t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
				}
			})
		})
	}
}
