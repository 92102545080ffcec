package brokerlite

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// sqlSubscription is a heartbeat's subscription by an expression.
func sqlSubscription(topic, expr string, version int64) protocol.SubscriptionData {
	return protocol.SubscriptionData{Topic: topic, SubString: expr, ExpressionType: protocol.ExpressionSQL92, SubVersion: version}
}

// checkClient asks code 46.
func (c *client) checkClient(s *protocol.SubscriptionData) *protocol.Command {
	c.t.Helper()
	body, err := protocol.EncodeBody(protocol.CheckClientRequest{ClientID: "me", Group: "consumers", Subscription: s})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.call(protocol.CheckClientConfig, nil, body)
}

func TestAClientAsksBeforeItSubscribes(t *testing.T) {
	tags := subscription(t, "orders", "a || b")
	good, bad := sqlSubscription("orders", "a > 1", 1), sqlSubscription("orders", "a > 1 AND", 1)
	like, unknown := sqlSubscription("orders", "a LIKE 'x%'", 1), sqlSubscription("orders", "a", 1)
	unknown.ExpressionType = "REGEX"
	for _, test := range []struct {
		name   string
		sub    *protocol.SubscriptionData
		opts   []Option
		code   protocol.Code
		remark string
		logged string
	}{
		{name: "no subscription", code: protocol.Success},
		{name: "by tags", sub: &tags, code: protocol.Success},
		{name: "by an expression", sub: &good, code: protocol.Success},
		{name: "a wrong expression", sub: &bad, code: protocol.SubscriptionParse, remark: "line 1 column 10", logged: "a client's expression is wrong"},
		{name: "a type that is not known", sub: &unknown, code: protocol.SubscriptionParse, remark: "neither TAG nor SQL92"},
		{name: "text that is not read", sub: &like, code: protocol.Success, logged: "LIKE 'x%'"},
		{name: "filters are off", sub: &good, opts: []Option{Conf("enablePropertyFilter=false")}, code: protocol.SystemError,
			remark: "The broker does not support consumer to filter message by SQL92"},
		{name: "filters are off, by tags", sub: &tags, opts: []Option{Conf("enablePropertyFilter=false")}, code: protocol.Success},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l logs
			inBubble(t, func(t *testing.T, _ *Broker, c *client) {
				resp := c.checkClient(test.sub)
				if resp.Code != test.code || !strings.Contains(resp.Remark, test.remark) {
					t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
				}
				if !strings.Contains(l.String(), test.logged) {
					t.Errorf("not logged: %s", &l)
				}
			}, append(test.opts, WithLogger(l.logger()))...)
		})
	}
}

func TestAGroupsExpressionFiltersItsPulls(t *testing.T) {
	var l logs
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 9 {
			c.send(sending("orders", "n", fmt.Sprint(i), "odd", []string{"no", "yes"}[i%2]), fmt.Sprint(i))
		}
		h := pulling("orders", 0, "ignored")
		h.SysFlag = 0
		pull := func(version int64) pulled {
			h.SubVersion = version
			return c.pull(h)
		}
		c.heartbeat("me", "", "consumers", sqlSubscription("orders", "n > 3 AND odd = 'yes'", 1))
		if p := pull(1); p.code != protocol.Success || strings.Join(bodies(p.records), "") != "57" || p.NextBeginOffset != 9 {
			t.Errorf("%s %q, next %d", protocol.ResponseName(p.code), bodies(p.records), p.NextBeginOffset)
		}
		if p := pull(2); p.code != protocol.SubscriptionNotLatest {
			t.Errorf("a later version: %s: %s", protocol.ResponseName(p.code), p.remark)
		}
		c.heartbeat("me", "", "consumers", sqlSubscription("orders", "n < 2", 2))
		if p := pull(2); strings.Join(bodies(p.records), "") != "01" {
			t.Errorf("after a change: %q", bodies(p.records))
		}
		c.heartbeat("me", "", "consumers", sqlSubscription("orders", "n <", 3))
		if p := pull(3); p.code != protocol.FilterDataNotExist || p.remark != "The broker's consumer filter data is not exist!Your expression may be wrong!" {
			t.Errorf("a wrong expression: %s: %s", protocol.ResponseName(p.code), p.remark)
		}
		if !strings.Contains(l.String(), "a subscription's expression is wrong") {
			t.Errorf("not logged: %s", &l)
		}
		c.heartbeat("me", "", "consumers", sqlSubscription("orders", "odd = 'yes' LIKE 'x'", 4))
		if p := pull(4); strings.Join(bodies(p.records), "") != "1357" {
			t.Errorf("text that is not read: %q", bodies(p.records))
		}
		if !strings.Contains(l.String(), "never read") {
			t.Errorf("not logged: %s", &l)
		}
		c.heartbeat("me", "", "consumers", subscription(t, "orders", "*")) // version 1
		if p := pull(4); strings.Join(bodies(p.records), "") != "1357" {
			t.Errorf("an older version counts: %q", bodies(p.records))
		}
	}, WithLogger(l.logger()))
}

func TestExpressionsAreRefusedWhileFiltersAreOff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders", "n", "1"), "x")
		c.heartbeat("me", "", "consumers", sqlSubscription("orders", "n = 1", 1))
		own, group := pulling("orders", 0, "n = 1"), pulling("orders", 0, "")
		own.ExpressionType = protocol.ExpressionSQL92
		group.SysFlag, group.SubVersion = 0, 1
		pulls := map[string]*protocol.PullRequest{"of the pull": own, "of the group": group}
		for name, h := range pulls {
			if p := c.pull(h); p.code != protocol.SystemError || p.remark != "The broker does not support consumer to filter message by SQL92" {
				t.Errorf("%s: %s: %s", name, protocol.ResponseName(p.code), p.remark)
			}
		}
		c.ok(protocol.UpdateBrokerConfig, nil, []byte("enablePropertyFilter=true\n"))
		for name, h := range pulls {
			if p := c.pull(h); p.code != protocol.Success || len(p.records) != 1 {
				t.Errorf("%s, after filters were allowed: %s: %s", name, protocol.ResponseName(p.code), p.remark)
			}
		}
	}, Conf("enablePropertyFilter=false"))
}

func TestALongPollWaitsForWhatItsExpressionTakes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		h := suspending("orders", 0, "n > 5", 30*time.Second)
		h.ExpressionType = protocol.ExpressionSQL92
		never := *h
		never.Subscription = "n > 100"
		w, late := c.startPull(h), c.startPull(&never)
		for i := range 20 {
			time.Sleep(time.Second)
			c.send(sending("orders", "n", fmt.Sprint(i%5)), "x")
			if !w.pending() {
				t.Fatalf("woken by a message that does not match: %+v", w.wait())
			}
		}
		c.send(sending("orders", "n", "6"), "mine")
		if p := w.wait(); p.code != protocol.Success || w.after != 20*time.Second || p.NextBeginOffset != 21 || !cmp.Equal(bodies(p.records), []string{"mine"}) {
			t.Errorf("%s %q after %v", protocol.ResponseName(p.code), bodies(p.records), w.after)
		}
		if p := late.wait(); p.code != protocol.PullRetryImmediately || p.NextBeginOffset != 21 || late.after != 30*time.Second {
			t.Errorf("%s, next %d after %v", protocol.ResponseName(p.code), p.NextBeginOffset, late.after)
		}
		synctest.Wait()
		if n := b.broker.ParkedPulls(); n != 0 {
			t.Errorf("%d pulls are parked still", n)
		}
	})
}

func TestAHeartbeatsExpressionsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		long := "a = '" + strings.Repeat("x", 60<<10) + "'"
		beat := func(group string, n int) *protocol.Command {
			var subs []protocol.SubscriptionData
			for i := range n {
				subs = append(subs, sqlSubscription(fmt.Sprint("t", i), long, 1))
			}
			body, err := protocol.EncodeBody(protocol.HeartbeatData{ClientID: "me", Consumers: []protocol.ConsumerData{{
				GroupName: group, ConsumeType: protocol.ConsumePassively, MessageModel: protocol.Clustering, Subscriptions: subs,
			}}})
			if err != nil {
				t.Fatal(err)
			}
			return c.call(protocol.Heartbeat, nil, body)
		}
		if r := beat("one", 10); r.Code != protocol.Success {
			t.Fatalf("%s: %s", protocol.ResponseName(r.Code), r.Remark)
		}
		if r := beat("one", 10); r.Code != protocol.Success {
			t.Errorf("once more: %s: %s", protocol.ResponseName(r.Code), r.Remark)
		}
		if r := beat("two", 10); r.Code != protocol.SystemError || !strings.Contains(r.Remark, "use several clients") {
			t.Errorf("another group's: %s: %s", protocol.ResponseName(r.Code), r.Remark)
		}
		if r := c.call(protocol.GetConsumerList, &protocol.ConsumerListRequest{ConsumerGroup: "two"}, nil); r.Code == protocol.Success {
			t.Error("a heartbeat that was refused has entered its group")
		}
	})
}

func TestAPopTakesWhatItsExpressionMatches(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		for i := range 6 {
			c.send(sending("orders", "n", fmt.Sprint(i)), fmt.Sprint(i))
		}
		h := popping("orders")
		h.ExpressionType, h.Expression = protocol.ExpressionSQL92, "n = 1 OR n = 4"
		if p := c.pop(h); p.code != protocol.Success || strings.Join(p.bodies(), "") != "14" {
			t.Errorf("%s: %q", protocol.ResponseName(p.code), p.bodies())
		}
		go func() {
			for _, n := range []string{"7", "1"} {
				time.Sleep(5 * time.Second)
				c.send(sending("orders", "n", n), n)
			}
		}()
		h.PollTime, h.BornTime = 15_000, time.Now().UnixMilli()
		begun := time.Now()
		if p := dial(t, b).pop(h); p.code != protocol.Success || strings.Join(p.bodies(), "") != "1" || time.Since(begun) != 10*time.Second {
			t.Errorf("%s: %q after %v", protocol.ResponseName(p.code), p.bodies(), time.Since(begun))
		}
		h.PollTime, h.Expression = 0, "n ="
		if p := c.pop(h); p.code != protocol.SubscriptionParse {
			t.Errorf("a wrong expression: %s: %s", protocol.ResponseName(p.code), p.remark)
		}
	})
}

func TestAPullThatHasWaitedIsAnsweredByWhatItsGroupWantsNow(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		before, after := subscription(t, "orders", "a"), subscription(t, "orders", "b")
		after.SubVersion = 2
		waits := func(offset int64, version int64) *waiting {
			h := suspending("orders", offset, "", 15*time.Second)
			h.SysFlag, h.SubVersion = h.SysFlag&^protocol.PullSubscription, version
			w := c.startPull(h)
			synctest.Wait()
			return w
		}
		c.heartbeat("me", "", "consumers", before)
		w := waits(0, 1)
		c.heartbeat("me", "", "consumers", after)
		c.send(sending("orders", "TAGS", "a"), "a")
		if p := w.wait(); p.code != protocol.PullRetryImmediately || p.NextBeginOffset != 1 {
			t.Errorf("%s: %q", protocol.ResponseName(p.code), bodies(p.records))
		}
		w = waits(1, 2)
		c.heartbeat("me", "", "consumers", subscription(t, "others", "*"))
		if p := w.wait(); p.code != protocol.SubscriptionNotExist || w.after != 15*time.Second {
			t.Errorf("%s: %q", protocol.ResponseName(p.code), bodies(p.records))
		}
	})
}

// No filter server keeps the classes that such a subscription names, so that it takes
// all, as on Apache (ExpressionMessageFilter.isMatchedByConsumeQueue). The flag of the
// pull changes nothing.
func TestASubscriptionInClassFilterModeTakesAll(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		for _, tag := range []string{"a", "b", ""} {
			c.send(sending("orders", "TAGS", tag), "tag "+tag)
		}
		for _, test := range []struct {
			class bool
			flags int32
			want  []string
		}{
			{false, 0, []string{"tag a"}},
			{false, protocol.PullClassFilter, []string{"tag a"}},
			{true, 0, []string{"tag a", "tag b", "tag "}},
			{true, protocol.PullClassFilter, []string{"tag a", "tag b", "tag "}},
		} {
			s := subscription(t, "orders", "a")
			s.ClassFilterMode, s.SubVersion = test.class, time.Now().UnixMilli()
			c.heartbeat("me", "", "consumers", s)
			h := pulling("orders", 0, "")
			h.SysFlag, h.SubVersion = test.flags, s.SubVersion
			if diff := cmp.Diff(test.want, bodies(c.pull(h).records)); diff != "" {
				t.Errorf("class filter mode %t, sysFlag %d (-want +got):\n%s", test.class, test.flags, diff)
			}
			time.Sleep(time.Second)
		}
	})
}
