package brokerlite

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

const (
	halfTopic = "RMQ_SYS_TRANS_HALF_TOPIC"
	opTopic   = "RMQ_SYS_TRANS_OP_HALF_TOPIC"
)

// half sends a half message of the group "producers".
func (c *client) half(topic, body string, props ...string) protocol.SendResponse {
	c.t.Helper()
	h := sending(topic, append([]string{"TRAN_MSG", "true", "PGROUP", "producers"}, props...)...)
	h.SysFlag = protocol.SysPrepared
	return c.send(h, body)
}

// ending is the request to end what half has sent.
func ending(t testing.TB, r protocol.SendResponse, outcome int32) *protocol.EndTransactionRequest {
	t.Helper()
	_, phys, err := protocol.ParseOffsetMessageID(r.MessageID)
	if err != nil {
		t.Fatal(err)
	}
	return &protocol.EndTransactionRequest{
		ProducerGroup: "producers", TranStateTableOffset: r.QueueOffset, CommitLogOffset: phys, CommitOrRollback: outcome,
		MessageID: r.TransactionID, TransactionID: r.TransactionID,
	}
}

// checks are the check-backs that a client got.
func (c *client) checks() []check {
	c.t.Helper()
	synctest.Wait()
	var list []check
	for _, cmd := range c.requests(protocol.CheckTransactionState) {
		var k check
		if err := k.DecodeFields(cmd.Fields); err != nil {
			c.t.Fatal(err)
		}
		if _, err := protocol.DecodeRecord(cmd.Body, &k.record); err != nil {
			c.t.Fatal(err)
		}
		list = append(list, k)
	}
	return list
}

type check struct {
	protocol.CheckTransactionRequest
	record protocol.Record
}

// answer is what a producer answers to a check.
func (k check) answer(outcome int32) *protocol.EndTransactionRequest {
	return &protocol.EndTransactionRequest{
		ProducerGroup: "producers", TranStateTableOffset: k.TranStateTableOffset, CommitLogOffset: k.CommitLogOffset,
		CommitOrRollback: outcome, FromTransactionCheck: true, MessageID: k.MessageID, TransactionID: k.TransactionID,
	}
}

func TestAHalfMessageIsDeliveredByItsCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 4)
		h := sending("orders", "TRAN_MSG", "true", "PGROUP", "producers", "UNIQ_KEY", "k", "TAGS", "tag", "WAIT", "true")
		h.SysFlag, h.QueueID, h.Flag = protocol.SysPrepared|protocol.SysCompressed, 2, 7
		r := c.send(h, "x")
		if r.QueueID != 2 || r.TransactionID != "k" {
			t.Errorf("%+v", r)
		}
		stored := c.messages(halfTopic, 0)[0]
		want := stamped(map[string]string{
			"TRAN_MSG": "true", "PGROUP": "producers", "UNIQ_KEY": "k", "__transactionId__": "k", "TAGS": "tag", "WAIT": "true",
			"REAL_TOPIC": "orders", "REAL_QID": "2",
		})
		if diff := cmp.Diff(want, props(stored)); diff != "" || stored.SysFlag != protocol.SysCompressed {
			t.Errorf("half message: sysFlag %d, properties (-want +got):\n%s", stored.SysFlag, diff)
		}
		if list := c.messages("orders", 2); len(list) > 0 {
			t.Errorf("visible before the commit: %q", bodies(list))
		}
		c.ok(protocol.EndTransaction, ending(t, r, protocol.SysCommit), nil)
		list := c.messages("orders", 2)
		if len(list) != 1 {
			t.Fatalf("%d messages", len(list))
		}
		got := list[0]
		delete(want, "REAL_TOPIC")
		delete(want, "REAL_QID")
		if diff := cmp.Diff(want, props(got)); diff != "" {
			t.Errorf("properties (-want +got):\n%s", diff)
		}
		if got.SysFlag != protocol.SysCommit|protocol.SysCompressed || got.PreparedTransactionOffset != stored.PhysicalOffset || got.Flag != 7 || string(got.Body) != "x" {
			t.Errorf("stored as %+v", got)
		}
		if n := len(c.pull(&protocol.PullRequest{ConsumerGroup: "consumers", Topic: "orders", QueueID: 2, MaxMessages: 9, SysFlag: protocol.PullSubscription, Subscription: "tag"}).records); n != 1 {
			t.Errorf("%d found by the tag", n)
		}
		synctest.Wait()
		if op := c.messages(opTopic, 0); len(op) != 1 || string(op[0].Body) != "0," || prop(op[0], "TAGS") != "d" {
			t.Errorf("op queue: %q", bodies(op))
		}
		if n := b.broker.OpenTransactions(); n != 0 {
			t.Errorf("%d are open", n)
		}
	})
}

func TestARollbackDeliversNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.heartbeat("me", "producers", "")
		r := c.half("orders", "x")
		c.ok(protocol.EndTransaction, ending(t, r, protocol.SysRollback), nil)
		time.Sleep(time.Minute)
		if len(c.messages("orders", 0)) > 0 || len(c.checks()) > 0 || b.broker.OpenTransactions() != 0 {
			t.Errorf("%d messages, %d checks, %d open", len(c.messages("orders", 0)), len(c.checks()), b.broker.OpenTransactions())
		}
	})
}

func TestACommitMustNameItsHalfMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		ordinary := c.send(sending("orders", "PGROUP", "producers"), "no half message")
		r := c.half("orders", "x")
		for _, test := range []struct {
			name string
			edit func(h *protocol.EndTransactionRequest)
			code protocol.Code
			text string
		}{
			{"group", func(h *protocol.EndTransactionRequest) { h.ProducerGroup = "others" }, protocol.SystemError, "The producer group wrong"},
			{"queue offset", func(h *protocol.EndTransactionRequest) { h.TranStateTableOffset = 1 }, protocol.SystemError, "The transaction state table offset wrong"},
			{"physical offset", func(h *protocol.EndTransactionRequest) { h.CommitLogOffset++ }, protocol.SystemError, "Find prepared transaction message failed"},
			{"negative offset", func(h *protocol.EndTransactionRequest) { h.CommitLogOffset = -1 }, protocol.SystemError, "Find prepared transaction message failed"},
			{"huge offset", func(h *protocol.EndTransactionRequest) { h.CommitLogOffset = 1 << 62 }, protocol.SystemError, "Find prepared transaction message failed"},
			{"another message", func(h *protocol.EndTransactionRequest) {
				h.CommitLogOffset, h.TranStateTableOffset = ending(t, ordinary, 0).CommitLogOffset, 0
			}, protocol.SystemError, "Find prepared transaction message failed"},
			{"an outcome that is none", func(h *protocol.EndTransactionRequest) { h.CommitOrRollback = 5 }, protocol.SystemError, `header field "commitOrRollback" is "5"`},
		} {
			for _, outcome := range []int32{protocol.SysCommit, protocol.SysRollback} {
				h := ending(t, r, outcome)
				test.edit(h)
				if resp := c.call(protocol.EndTransaction, h, nil); resp.Code != test.code || !strings.HasPrefix(resp.Remark, test.text) {
					t.Errorf("%s: %s: %s", test.name, protocol.ResponseName(resp.Code), resp.Remark)
				}
			}
		}
		if n := b.broker.OpenTransactions(); n != 1 {
			t.Errorf("%d are open", n)
		}
		c.ok(protocol.EndTransaction, ending(t, r, protocol.SysCommit), nil)
		if diff := cmp.Diff([]string{"no half message", "x"}, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACommitThatComesTwiceDeliversOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		r := c.half("orders", "x")
		for range 5 {
			c.oneway(protocol.EndTransaction, ending(t, r, protocol.SysCommit), nil)
		}
		synctest.Wait()
		if resp := c.call(protocol.EndTransaction, ending(t, r, protocol.SysRollback), nil); resp.Code != protocol.SystemError || !strings.Contains(resp.Remark, "has ended already") {
			t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
		if diff := cmp.Diff([]string{"x"}, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestADelayBeginsWithTheCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		level := c.half("orders", "level", "DELAY", "2")
		timer := c.half("orders", "timer", "TIMER_DELAY_MS", "3000")
		time.Sleep(5 * time.Second)
		begun := now()
		c.ok(protocol.EndTransaction, ending(t, level, protocol.SysCommit), nil)
		c.ok(protocol.EndTransaction, ending(t, timer, protocol.SysCommit), nil)
		time.Sleep(6 * time.Second)
		want := []arrival{{"timer", 3 * time.Second}, {"level", 5 * time.Second}}
		if diff := cmp.Diff(want, arrivals(c.messages("orders", 0), begun), cmp.AllowUnexported(arrival{})); diff != "" {
			t.Error(diff)
		}
	})
}

// TestAnUnknownOutcomeIsAskedFor follows Apache's timing: from 6 s on, every 30 s
// since the broker's start.
func TestAnUnknownOutcomeIsAskedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		began := time.Now()
		c.heartbeat("me", "producers", "")
		time.Sleep(25 * time.Second)
		r := c.half("orders", "x", "UNIQ_KEY", "k", "WAIT", "true")
		c.oneway(protocol.EndTransaction, ending(t, r, 0), nil)
		time.Sleep(time.Until(began.Add(60*time.Second - time.Millisecond)))
		if n := len(c.checks()); n != 0 {
			t.Fatalf("%d checks of a message that is too young at 30 s", n)
		}
		time.Sleep(time.Millisecond)
		list := c.checks()
		if len(list) != 1 {
			t.Fatalf("%d checks after 60 s", len(list))
		}
		k := list[0]
		if k.Topic != halfTopic || k.MessageID != "k" || k.TransactionID != "k" || k.BrokerName != b.Name() || k.TranStateTableOffset != 1 {
			t.Errorf("%+v", k.CheckTransactionRequest)
		}
		again := c.messages(halfTopic, 0)[1]
		if k.CommitLogOffset != again.PhysicalOffset || k.OffsetMessageID != protocol.OffsetMessageID(again.StoreHost, again.PhysicalOffset) {
			t.Errorf("%+v, the copy is at %d", k.CheckTransactionRequest, again.PhysicalOffset)
		}
		want := stamped(map[string]string{
			"TRAN_MSG": "true", "PGROUP": "producers", "UNIQ_KEY": "k", "__transactionId__": "k", "WAIT": "true",
			"REAL_TOPIC": "orders", "REAL_QID": "0", "TRANSACTION_CHECK_TIMES": "1",
		})
		if diff := cmp.Diff(want, props(again)); diff != "" {
			t.Errorf("the copy's properties (-want +got):\n%s", diff)
		}
		want["WAIT"] = "false"
		if diff := cmp.Diff(want, props(k.record)); diff != "" || k.record.Topic != "orders" || k.record.QueueOffset != 1 || string(k.record.Body) != "x" {
			t.Errorf("asked about %+v\nproperties (-want +got):\n%s", k.record, diff)
		}
		c.ok(protocol.EndTransaction, k.answer(protocol.SysCommit), nil)
		time.Sleep(5 * time.Minute)
		if n := len(c.checks()); n != 1 {
			t.Errorf("%d checks", n)
		}
		got := c.messages("orders", 0)
		if len(got) != 1 || prop(got[0], "TRANSACTION_CHECK_TIMES") != "1" || got[0].PreparedTransactionOffset != again.PhysicalOffset {
			t.Errorf("delivered %q", bodies(got))
		}
	})
}

func TestACommitFromBeforeTheCheckDeliversOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.heartbeat("me", "producers", "")
		r := c.half("orders", "x")
		time.Sleep(65 * time.Second)
		if n := len(c.checks()); n != 2 {
			t.Fatalf("%d checks", n)
		}
		c.ok(protocol.EndTransaction, ending(t, r, protocol.SysCommit), nil)
		for _, k := range c.checks() {
			c.call(protocol.EndTransaction, k.answer(protocol.SysCommit), nil)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"x"}, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
		if n := len(c.checks()); n != 2 {
			t.Errorf("%d checks", n)
		}
	})
}

func TestAHalfMessageIsGivenUpAfterFifteenChecks(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.half("orders", "x")
		time.Sleep(31 * time.Second)
		for range 20 {
			c.heartbeat("me", "producers", "")
			time.Sleep(30 * time.Second)
		}
		list := c.checks()
		if len(list) != 14 { // the first found no producer
			t.Errorf("%d checks", len(list))
		}
		for i, k := range list {
			if prop(k.record, "TRANSACTION_CHECK_TIMES") != fmt.Sprint(i+2) {
				t.Errorf("check %d: %q", i, k.record.Properties)
			}
		}
		dead := c.messages("TRANS_CHECK_MAX_TIME_TOPIC", 0)
		if len(dead) != 1 || string(dead[0].Body) != "x" || prop(dead[0], "TRANSACTION_CHECK_TIMES") != "15" || prop(dead[0], "REAL_TOPIC") != "orders" {
			t.Errorf("given up: %q", bodies(dead))
		}
		if n := b.broker.OpenTransactions(); n != 0 {
			t.Errorf("%d are open", n)
		}
	})
}

func TestAnImmunityOfItsOwnPutsOffTheCheck(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.heartbeat("me", "producers", "")
		r := c.half("orders", "x", "CHECK_IMMUNITY_TIME_IN_SECONDS", "100")
		time.Sleep(119 * time.Second)
		if n := len(c.checks()); n != 0 {
			t.Errorf("%d checks before 120 s", n)
		}
		if resp := c.call(protocol.EndTransaction, ending(t, r, protocol.SysCommit), nil); resp.Code != protocol.IllegalOperation {
			t.Errorf("a commit that comes too late: %s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
		c.heartbeat("me", "producers", "")
		time.Sleep(2 * time.Second)
		list := c.checks()
		if len(list) != 1 {
			t.Fatalf("%d checks after 121 s", len(list))
		}
		c.ok(protocol.EndTransaction, list[0].answer(protocol.SysCommit), nil)
		if diff := cmp.Diff([]string{"x"}, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnyMemberOfTheGroupIsAsked(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		one, two := dial(t, b), dial(t, b)
		one.heartbeat("one", "producers", "")
		two.heartbeat("two", "producers", "")
		other := dial(t, b)
		other.heartbeat("other", "others", "")
		for range 10 {
			c.half("orders", "x")
		}
		time.Sleep(31 * time.Second)
		if a, b := len(one.checks()), len(two.checks()); a+b != 10 || a == 0 || b == 0 {
			t.Errorf("%d and %d checks", a, b)
		}
		if n := len(other.checks()); n != 0 {
			t.Errorf("another group was asked %d times", n)
		}
	})
}

func TestTransactionsSurviveARestart(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRestart(t)
				c := dial(t, r.b)
				c.heartbeat("me", "producers", "")
				var halves []protocol.SendResponse
				for i := range 6 {
					halves = append(halves, c.half("orders", fmt.Sprint(i)))
				}
				c.ok(protocol.EndTransaction, ending(t, halves[0], protocol.SysCommit), nil)
				c.ok(protocol.EndTransaction, ending(t, halves[1], protocol.SysRollback), nil)
				time.Sleep(31 * time.Second) // the others were checked once, and have moved
				for _, k := range c.checks() {
					if string(k.record.Body) == "2" {
						c.ok(protocol.EndTransaction, k.answer(protocol.SysCommit), nil)
					}
				}
				synctest.Wait()
				if how == "kill" {
					r.kill()
				} else {
					r.stop()
				}
				c = r.start()
				if n := r.b.broker.OpenTransactions(); n != 3 {
					t.Errorf("%d are open", n)
				}
				c.heartbeat("me", "producers", "")
				time.Sleep(31 * time.Second)
				asked := map[string]string{}
				for _, k := range c.checks() {
					asked[string(k.record.Body)] = prop(k.record, "TRANSACTION_CHECK_TIMES")
					c.ok(protocol.EndTransaction, k.answer(protocol.SysCommit), nil)
				}
				if diff := cmp.Diff(map[string]string{"3": "2", "4": "2", "5": "2"}, asked); diff != "" {
					t.Errorf("asked about (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{"0", "2", "3", "4", "5"}, bodies(c.messages("orders", 0))); diff != "" {
					t.Errorf("delivered (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestTransactionChecksCanBeMadeQuicker(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.heartbeat("me", "producers", "")
		c.half("orders", "x")
		time.Sleep(3100 * time.Millisecond)
		if n := len(c.checks()); n != 2 { // at 2 s and at 3 s
			t.Errorf("%d checks", n)
		}
	}, TransactionChecks(time.Second, time.Second))
}

func TestAProducerThatDoesNotReadHoldsUpNoOthersChecks(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		deaf, err := b.Dial(t.Context(), "tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer deaf.Close()
		body, err := protocol.EncodeBody(protocol.HeartbeatData{ClientID: "deaf", Producers: []protocol.ProducerData{{GroupName: "producers"}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := deaf.Write(encoded(t, &protocol.Command{Code: protocol.Heartbeat}, nil, body)); err != nil {
			t.Fatal(err)
		}
		c.heartbeat("me", "others", "")
		for range 16 {
			c.half("orders", strings.Repeat("x", 1<<20))
		}
		h := sending("orders", "TRAN_MSG", "true", "PGROUP", "others")
		h.SysFlag = protocol.SysPrepared
		c.send(h, "mine")
		time.Sleep(30 * time.Second) // the first checks
		began := time.Now()
		for len(c.checks()) == 0 && time.Since(began) < 30*time.Second {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a check came %v late", took)
		}
	})
}

// A member that does not read any more, or has gone, is passed over, and the others
// are asked in its place.
func TestMembersThatCannotBeAskedArePassedOver(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		gate := make(chan struct{})
		defer close(gate)
		stuck, gone, living := dial(t, b), dial(t, b), dial(t, b)
		stuck.answering = func(*remoting.Conn, *protocol.Command) { <-gate }
		for id, m := range map[string]*client{"stuck": stuck, "gone": gone, "living": living} {
			m.heartbeat(id, "producers", "")
		}
		const all = 24 // half of them is more than the 8 MiB that may wait for a member
		for i := range all {
			c.half("orders", fmt.Sprintf("%02d%s", i, strings.Repeat("x", 1<<20)))
		}
		time.Sleep(29 * time.Second)
		gone.close()
		time.Sleep(2 * time.Second)
		asked := map[string]bool{}
		for _, k := range living.checks() {
			asked[string(k.record.Body[:2])] = true
		}
		if len(asked) < all-10 {
			t.Errorf("the living member was asked about %d of %d transactions; the stuck one has no room for more than 9 or so", len(asked), all)
		}
	})
}
