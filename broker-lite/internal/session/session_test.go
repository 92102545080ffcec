package session

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/sqlfilter"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

func TestMembersAreToldWhenAGroupChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		a, b := h.dial("a"), h.dial("b")
		h.expect("a joins", h.notified(a.consume("g", sub("t", 1)), a, b), "g: a")
		h.expect("a again", h.notified(a.consume("g", sub("t", 1)), a, b))
		h.expect("b joins", h.notified(b.consume("g", sub("t", 1)), a, b), "g: a b")
		h.expect("a later version", h.notified(b.consume("g", sub("t", 2, "x")), a, b))
		h.expect("one topic more", h.notified(b.consume("g", sub("t", 2, "x"), sub("u", 2)), a, b), "g: a b")
		h.expect("one topic less", h.notified(b.consume("g", sub("u", 2)), a, b), "g: a b")
		h.expect("members", h.ids("g"), "a", "b")
		h.expect("a unregisters", h.notified(h.Unregister(a.Conn, "", "g"), a, b), "g: b")
		h.expect("a unregisters again", h.notified(h.Unregister(a.Conn, "", "g"), a, b))
		b.close()
		h.expect("b's connection closes", h.notified(h.taken(), a, b), "g: ")
		h.expect("members", h.ids("g"))
	})
}

func TestAClosedConnectionLeavesAllItsGroupsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		a, b := h.dial("a"), h.dial("b")
		a.beat(protocol.HeartbeatData{
			Consumers: []protocol.ConsumerData{consumer("g", sub("t", 1)), consumer("only-a", sub("t", 1))},
			Producers: []protocol.ProducerData{{GroupName: "p"}},
		})
		b.consume("g", sub("t", 1))
		b.produce("p")
		a.close()
		h.expect("changes", h.notified(h.taken(), a, b), "g: b", "only-a: ")
		for range 3 {
			if c, ok := h.ProducerConn("p"); !ok || c != b.Conn {
				t.Error("a check goes to the closed connection")
			}
		}
		// A heartbeat that is served late, after its connection has closed.
		if changes := a.consume("g", sub("t", 1)); len(changes) > 0 {
			t.Errorf("a dead connection joined: %+v", changes)
		}
		h.expect("members", h.ids("g"), "b")
	})
}

func TestSilentClientsExpireAfter120Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		silent, busy := h.dial("silent"), h.dial("busy")
		begin := time.Now()
		silent.consume("g", sub("t", 1))
		silent.produce("p")
		for range 4 {
			busy.consume("g", sub("t", 1))
			busy.produce("p")
			time.Sleep(30*time.Second - time.Millisecond/4)
		}
		synctest.Wait()
		h.expect("just before 120 s", h.ids("g"), "busy", "silent")
		time.Sleep(time.Until(begin.Add(DefaultExpiry)))
		synctest.Wait()
		h.expect("after 120 s", h.ids("g"), "busy")
		h.expect("who is told", h.notified(h.taken(), silent, busy), "g: busy")
		if ps := h.Producers("p"); len(ps) != 1 || ps[0].ID != "busy" {
			t.Errorf("producers %+v", ps)
		}
		select {
		case <-silent.Closed():
		default:
			t.Error("the silent client's connection is still open")
		}
		select {
		case <-busy.Closed():
			t.Error("the busy client's connection is closed")
		default:
		}
	})
}

func TestOneGroupThatExpiresLeavesTheClientsOthersAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		a := h.dial("a")
		a.beat(protocol.HeartbeatData{Consumers: []protocol.ConsumerData{consumer("kept", sub("t", 1)), consumer("dropped", sub("t", 1))}})
		for range 5 {
			time.Sleep(30 * time.Second)
			a.consume("kept", sub("t", 1))
		}
		synctest.Wait()
		h.expect("kept", h.ids("kept"), "a")
		h.expect("dropped", h.ids("dropped"))
		h.expect("changes", h.notified(h.taken(), a), "dropped: ")
		select {
		case <-a.Closed():
			t.Error("the connection is closed")
		default:
		}
	})
}

func TestHoursOfSilenceCostNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		var all []*client
		for i := range 20 { // they would expire within milliseconds of each other
			c := h.dial(fmt.Sprintf("c%02d", i))
			c.consume("g", sub("t", 1))
			all = append(all, c)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		h.expect("members", h.ids("g"))
		changes := h.taken()
		if len(changes) == 0 || len(changes) > 3 {
			t.Errorf("%d scans found something, want them to keep a second apart", len(changes))
		}
		h.expect("the last change", h.notified(changes[len(changes)-1:], all...), "g: ")
	})
}

func TestBroadcastersAreNotTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		a := h.dial("a")
		c := consumer("g", sub("t", 1))
		c.MessageModel = protocol.Broadcasting
		h.expect("joins", h.notified(a.beat(protocol.HeartbeatData{Consumers: []protocol.ConsumerData{c}}), a), "g: ")
		g, ok := h.Group("g")
		if !ok || g.Model != protocol.Broadcasting || len(g.Members) != 1 {
			t.Errorf("group %+v", g)
		}
	})
}

func TestSubscriptionsForPulls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		a, b := h.dial("a"), h.dial("b")
		refused := func(group, topic string, version int64, code protocol.Code, remark string) {
			t.Helper()
			_, err := h.Subscription(group, topic, version)
			var r *Refusal
			if !errors.As(err, &r) || r.Code != code || !strings.HasPrefix(r.Remark, remark) {
				t.Errorf("%s %s version %d: %v", group, topic, version, err)
			}
		}
		refused("g", "t", 0, protocol.SubscriptionNotExist, "the consumer's group info not exist\nSee https://")
		a.consume("g", sub("t", 5, "x"))
		refused("g", "u", 0, protocol.SubscriptionNotExist, "the consumer's subscription not exist\nSee https://")
		refused("g", "t", 6, protocol.SubscriptionNotLatest, "the consumer's subscription not latest")
		s, err := h.Subscription("g", "t", 5)
		if err != nil || s.Data.SubString != "x" || s.Model != protocol.Clustering || s.ConsumeType != protocol.ConsumePassively {
			t.Errorf("%+v, %v", s, err)
		}
		// An older version from another member does not replace it.
		b.consume("g", sub("t", 4, "old"))
		if s, err := h.Subscription("g", "t", 3); err != nil || s.Data.SubVersion != 5 || s.Data.SubString != "x" {
			t.Errorf("%+v, %v", s.Data, err)
		}
		b.consume("g", sub("t", 7, "new"))
		if s, err := h.Subscription("g", "t", 6); err != nil || s.Data.SubString != "new" {
			t.Errorf("%+v, %v", s.Data, err)
		}
		// A new first member begins with its own.
		h.Unregister(a.Conn, "", "g")
		h.Unregister(b.Conn, "", "g")
		a.consume("g", sub("t", 2, "again"))
		if s, err := h.Subscription("g", "t", 2); err != nil || s.Data.SubString != "again" {
			t.Errorf("%+v, %v", s.Data, err)
		}
	})
}

func TestHeartbeatsOfVersion2(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		a, b := h.dial("a"), h.dial("b")
		beat := func(c *client, fingerprint int32, without bool, subs ...protocol.SubscriptionData) bool {
			_, changed, err := h.Heartbeat(c.Conn, &protocol.HeartbeatData{
				ClientID: c.id, Fingerprint: fingerprint, WithoutSub: without, Consumers: []protocol.ConsumerData{consumer("g", subs...)},
			}, protocol.LanguageJava, protocol.VersionV5_4_0)
			if err != nil {
				t.Error(err)
			}
			return changed
		}
		version := func() int64 {
			s, err := h.Subscription("g", "t", 0)
			if err != nil {
				return 0
			}
			return s.Data.SubVersion
		}
		if !beat(a, 11, true) || version() != 0 {
			t.Error("without subscriptions to a broker that has none: the next heartbeat must bring them")
		}
		if beat(a, 11, false, sub("t", 1)) || version() != 1 {
			t.Error("with subscriptions: changed")
		}
		if beat(a, 11, true) || version() != 1 {
			t.Error("without subscriptions: they must stay")
		}
		if !beat(b, 22, false, sub("t", 2)) || version() != 2 {
			t.Error("another fingerprint: both must send their subscriptions again")
		}
		if !beat(a, 11, true) || version() != 2 {
			t.Error("the first one's turn to be told")
		}
		if !beat(b, 0, false, sub("t", 3)) || version() != 3 {
			t.Error("an old client's heartbeat is answered with IS_SUB_CHANGE")
		}
		if !beat(a, 11, true) {
			t.Error("after an old client's heartbeat the subscriptions must come again")
		}
		h.expect("members", h.ids("g"), "a", "b")
	})
}

func TestAClientThatIsConnectedTwiceIsListedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		old, fresh, other := h.dial("a"), h.dial("a"), h.dial("b")
		old.consume("g", sub("t", 1))
		fresh.consume("g", sub("t", 1))
		other.consume("g", sub("t", 1))
		h.expect("members", h.ids("g"), "a", "b")
		old.close()
		h.expect("members", h.ids("g"), "a", "b")
		fresh.close()
		h.expect("members", h.ids("g"), "b")
		other.close()
		if _, err := h.ConsumerIDs("g"); err == nil || err.Error() != "SYSTEM_ERROR: no consumer for this group, g" {
			t.Errorf("no members: %v", err)
		}
	})
}

func TestChecksGoRoundTheProducersThatLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		a, b, c := h.dial("a"), h.dial("b"), h.dial("c")
		for _, p := range []*client{a, b, c} {
			p.produce("p", "q")
		}
		names := map[*remoting.Conn]string{a.Conn: "a", b.Conn: "b", c.Conn: "c"}
		round := func(n int) (s string) {
			for range n {
				conn, ok := h.ProducerConn("p")
				if !ok {
					return s + "-"
				}
				s += names[conn]
			}
			return s
		}
		if got := round(6); got != "abcabc" {
			t.Errorf("checks go to %s", got)
		}
		b.close()
		if got := round(4); got != "acac" && got != "caca" {
			t.Errorf("without b checks go to %s", got)
		}
		h.Unregister(a.Conn, "p", "")
		if got := round(2); got != "cc" {
			t.Errorf("without a checks go to %s", got)
		}
		if ps := h.Producers("q"); len(ps) != 2 || ps[0].ID != "a" || ps[1].ID != "c" || ps[0].Language != protocol.LanguageJava || ps[0].Version != protocol.VersionV5_4_0 {
			t.Errorf("members of the other group: %+v", ps)
		}
		c.close()
		if got := round(1); got != "-" {
			t.Errorf("without producers checks go to %s", got)
		}
	})
}

func TestGroupDescribesItsMembersAndSubscriptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		a, b := h.dial("a"), h.dial("b")
		b.consume("g", sub("u", 1, "x"), sub("t", 1))
		a.consume("g", sub("u", 1, "x"), sub("t", 1))
		g, ok := h.Group("g")
		if !ok || len(g.Members) != 2 || g.Members[0].ID != "a" || g.Members[0].Conn != a.Conn || !g.Members[0].Seen.Equal(time.Now()) {
			t.Errorf("members %+v", g.Members)
		}
		if diff := cmp.Diff([]protocol.SubscriptionData{sub("t", 1), sub("u", 1, "x")}, g.Subscriptions); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
		if g.FromWhere != protocol.ConsumeFromLastOffset {
			t.Errorf("from %s", g.FromWhere)
		}
		if _, ok := h.Group("none"); ok {
			t.Error("there is a group that nobody is in")
		}
	})
}

func TestTheManagerBearsManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		var clients []*client
		for i := range 8 {
			clients = append(clients, h.dial(fmt.Sprintf("c%d", i)))
		}
		var wg sync.WaitGroup
		for i, c := range clients {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for j := range 50 {
					group := fmt.Sprintf("g%d", j%3)
					c.consume(group, sub("t", int64(j)))
					c.produce("p")
					h.ids(group)
					h.ProducerConn("p")
					h.Group(group)
					if s, err := h.Subscription(group, "t", 0); err == nil && s.Data.Topic != "t" {
						t.Error("wrong subscription")
					}
					if j%7 == i%7 {
						h.Unregister(c.Conn, "p", group)
					}
				}
				c.close()
			}()
		}
		wg.Wait()
	})
}

func TestPullsFindTheirSubscriptionWithoutAllocating(t *testing.T) {
	h := start(t)
	a := h.dial("a")
	a.consume("g", sub("t", 1))
	if n := testing.AllocsPerRun(100, func() { _, _ = h.Subscription("g", "t", 1) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	a.close()
}

func TestAnExpressionIsCompiledOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t)
		c := h.dial("a")
		sql := func(expr string, version int64) protocol.SubscriptionData {
			return protocol.SubscriptionData{Topic: "t", SubString: expr, ExpressionType: protocol.ExpressionSQL92, SubVersion: version}
		}
		filter := func(version int64) *sqlfilter.Expr {
			t.Helper()
			s, err := h.Subscription("g", "t", version)
			if err != nil {
				t.Fatal(err)
			}
			return s.Filter
		}
		c.consume("g", sql("a > 1", 1))
		first := filter(1)
		if first == nil || first.String() != "a > 1" {
			t.Fatalf("%v", first)
		}
		c.consume("g", sql("a > 1", 1))
		c.consume("g", sql("a > 1", 2))
		if filter(2) != first {
			t.Error("the same expression was compiled again")
		}
		c.consume("g", sql("a > 2", 2))
		if filter(2) != first {
			t.Error("an expression of the same version counts")
		}
		c.consume("g", sql("a > 2", 3))
		if got := filter(3); got == nil || got.String() != "a > 2" {
			t.Errorf("a later version: %v", got)
		}
		c.consume("g", sql("a >", 4))
		if got := filter(4); got != nil {
			t.Errorf("a wrong expression: %v", got)
		}
		c.consume("g", sub("t", 5, "a"))
		if got := filter(5); got != nil {
			t.Errorf("tags: %v", got)
		}
	})
}
