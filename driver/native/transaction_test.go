package native

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

func TestTransactionTellsTheBrokerHowItEnded(t *testing.T) {
	tests := []struct {
		name   string
		status protocol.Code
		local  func() driver.TxState
		state  driver.TxState
		flag   string
	}{
		{"commit", 0, func() driver.TxState { return driver.TxCommit }, driver.TxCommit, "8"},
		{"rollback", 0, func() driver.TxState { return driver.TxRollback }, driver.TxRollback, "12"},
		{"open", 0, func() driver.TxState { return driver.TxUnknown }, driver.TxUnknown, "0"},
		{"a panic leaves it open", 0, func() driver.TxState { panic("local") }, driver.TxUnknown, "0"},
		{"not stored safely: rolled back, local does not run", protocol.FlushDiskTimeout, nil, driver.TxRollback, "12"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := newCluster(t, "a")
				c.addTopic("orders", 2)
				b := c.brokers["a"]
				if tt.status != 0 {
					b.on(protocol.SendMessageV2, func(conn *remoting.Conn, cmd *protocol.Command) bool {
						b.reply(conn, cmd, tt.status, &protocol.SendResponse{MessageID: "0A00000100002A9F0000000000000000"}, nil)
						return true
					})
				} else {
					b.produce(message.Queue{Topic: "orders", Broker: "a", ID: 1}, 3) // so that offsets are not 0
				}
				s := newSender(t, c.open())
				m := outgoing(s, "orders", "body", message.Tag("t"))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				r, state, err := s.SendTx(ctx, message.Queue{}, m, func(context.Context, driver.Receipt) driver.TxState {
					pass(time.Minute) // longer than ctx
					return tt.local()
				})
				if err != nil || state != tt.state {
					t.Fatalf("%v, %v", state, err)
				}
				synctest.Wait()
				half := b.requests(protocol.SendMessageV2)[0]
				if want := string(props("UNIQ_KEY=" + m.ID + ";TAGS=t;TRAN_MSG=true;PGROUP=producers;")); half.fields["i"] != want || half.fields["f"] != "4" {
					t.Errorf("half message: %q, sysFlag %s", half.fields["i"], half.fields["f"])
				}
				ends := b.requests(protocol.EndTransaction)
				if len(ends) != 1 || !ends[0].oneway {
					t.Fatalf("%d ends", len(ends))
				}
				_, physical, err := protocol.ParseOffsetMessageID(r.OffsetMessageID)
				if err != nil {
					t.Fatal(err)
				}
				want := map[string]string{
					"topic": "orders", "producerGroup": "producers", "tranStateTableOffset": fmt.Sprint(r.QueueOffset), "commitLogOffset": fmt.Sprint(physical),
					"commitOrRollback": tt.flag, "fromTransactionCheck": "false", "msgId": m.ID, "bname": "a",
				}
				if diff := cmp.Diff(want, ends[0].fields); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestHalfMessageThatFailsRunsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		c.brokers["a"].refuse(protocol.SendMessageV2, protocol.NoPermission)
		s := newSender(t, c.open())
		local := func(context.Context, driver.Receipt) driver.TxState {
			t.Error("the local transaction ran")
			return driver.TxCommit
		}
		if _, _, err := s.SendTx(t.Context(), message.Queue{}, outgoing(s, "orders", "x"), local); !answer.IsCode(err, protocol.NoPermission) {
			t.Error(err)
		}
		late := outgoing(s, "orders", "x", func(m *message.Message) { m.Delay.Level = 1 })
		if _, _, err := s.SendTx(t.Context(), message.Queue{}, late, local); !errors.Is(err, message.ErrInvalidMessage) {
			t.Errorf("delayed: %v", err)
		}
		if _, _, err := s.SendTx(t.Context(), message.Queue{}, outgoing(s, "missing", "x"), local); !errors.Is(err, message.ErrNoRoute) {
			t.Errorf("no route: %v", err)
		}
	})
}

// ask sends code 39 over the connection that conn's heartbeat came by.
func (b *scripted) ask(t testing.TB, conn *remoting.Conn, group, id string) {
	t.Helper()
	rec := protocol.Record{Topic: "orders", Body: []byte("body"), Properties: props("TRAN_MSG=true;PGROUP=" + group + ";UNIQ_KEY=" + id + ";")}
	body, err := protocol.AppendRecord(nil, &rec)
	if err != nil {
		t.Fatal(err)
	}
	cmd := protocol.ClientRequest(protocol.CheckTransactionState)
	h := &protocol.CheckTransactionRequest{Topic: "orders", TranStateTableOffset: 5, CommitLogOffset: 6, MessageID: id, TransactionID: id, BrokerName: b.name}
	if err := conn.Oneway(t.Context(), &cmd, h, body); err != nil {
		t.Fatal(err)
	}
}

// greeters keeps the connections that heartbeats come by, in order.
func (b *scripted) greeters() func() []*remoting.Conn {
	var mu sync.Mutex
	var conns []*remoting.Conn
	b.on(protocol.Heartbeat, func(conn *remoting.Conn, _ *protocol.Command) bool {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, conn)
		return false
	})
	return func() []*remoting.Conn {
		mu.Lock()
		defer mu.Unlock()
		return conns
	}
}

// Each transactional producer of a process is asked about its own messages, and
// before it sends anything.
func TestFault15EveryTransactionalProducerIsAsked(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		conns := b.greeters()
		check := func(group string, state driver.TxState) driver.SenderConfig {
			return driver.SenderConfig{Group: group, CheckTopics: []string{"orders"}, Check: func(_ context.Context, d *message.Delivery) driver.TxState {
				if d.Group != group || d.ID != "id of "+group || d.Topic != "orders" || string(d.Body) != "body" {
					t.Errorf("group %s is asked about %+v", group, d)
				}
				return state
			}}
		}
		one := c.open()
		newSender(t, one, check("first", driver.TxCommit))
		newSender(t, one, check("second", driver.TxRollback))
		pass(2 * time.Second)
		newSender(t, c.open(), check("third", driver.TxUnknown))
		pass(2 * time.Second)
		all := conns()
		first, last := all[0], all[len(all)-1]
		b.ask(t, first, "first", "id of first")
		b.ask(t, first, "second", "id of second")
		b.ask(t, last, "third", "id of third")
		b.ask(t, last, "nobody", "x")
		synctest.Wait()
		got := make(map[string]string)
		for _, r := range b.requests(protocol.EndTransaction) {
			got[r.fields["producerGroup"]] = r.fields["commitOrRollback"]
			if r.fields["fromTransactionCheck"] != "true" || r.fields["tranStateTableOffset"] != "5" || r.fields["commitLogOffset"] != "6" || !r.oneway {
				t.Errorf("%+v", r)
			}
		}
		if diff := cmp.Diff(map[string]string{"first": "8", "second": "12", "third": "0"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFault10AChecksPanicHarmsNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		conns := b.greeters()
		s := newSender(t, c.open(), driver.SenderConfig{Group: "producers", CheckTopics: []string{"orders"}, Check: func(_ context.Context, d *message.Delivery) driver.TxState {
			if d.ID == "bad" {
				panic("check")
			}
			return driver.TxCommit
		}})
		pass(2 * time.Second)
		b.ask(t, conns()[0], "producers", "bad")
		b.ask(t, conns()[0], "producers", "good")
		synctest.Wait()
		got := make(map[string]string)
		for _, r := range b.requests(protocol.EndTransaction) {
			got[r.fields["msgId"]] = r.fields["commitOrRollback"]
		}
		if diff := cmp.Diff(map[string]string{"bad": "0", "good": "8"}, got); diff != "" {
			t.Error(diff)
		}
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Errorf("the connection: %v", err)
		}
		if !strings.Contains(c.logs.String(), "panic in a transaction check") {
			t.Error("nothing was logged")
		}
	})
}

func TestChecksAreBoundedAndSlowOnesHoldNothingUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		conns := b.greeters()
		var mu sync.Mutex
		atWork, most := 0, 0
		s := newSender(t, c.open(), driver.SenderConfig{Group: "producers", CheckTopics: []string{"orders"}, Check: func(context.Context, *message.Delivery) driver.TxState {
			mu.Lock()
			atWork++
			most = max(most, atWork)
			mu.Unlock()
			<-time.After(time.Second)
			mu.Lock()
			atWork--
			mu.Unlock()
			return driver.TxCommit
		}})
		pass(2 * time.Second)
		const asked = 100
		for i := range asked {
			b.ask(t, conns()[0], "producers", fmt.Sprint(i))
		}
		synctest.Wait()
		if _, err := s.sendTest(t, outgoing(s, "orders", "x")); err != nil {
			t.Errorf("a send while checks are at work: %v", err)
		}
		pass(time.Minute)
		if n := len(b.requests(protocol.EndTransaction)); n != asked {
			t.Errorf("%d answers to %d questions", n, asked)
		}
		if most != maxChecks {
			t.Errorf("%d checks at once, want %d", most, maxChecks)
		}
	})
}
