package native

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// putBatch puts an inner batch into a queue, as 5.x stores one in a topic with
// queue.type=BatchCQ: one record at the first of the messages' offsets. The last cut
// bytes of the batch are missing.
func (b *scripted) putBatch(q message.Queue, cut int, messages ...protocol.BatchEntry) {
	var body []byte
	for i := range messages {
		var err error
		if body, err = protocol.AppendBatchEntry(body, &messages[i]); err != nil {
			b.c.t.Error(err)
		}
	}
	b.mu.Lock()
	data, err := protocol.AppendRecord(nil, &protocol.Record{
		Topic: q.Topic, QueueID: int32(q.ID), QueueOffset: int64(len(b.queues[q])), PhysicalOffset: b.next, StoreHost: netip.MustParseAddrPort(b.addr),
		Body: body[:len(body)-cut], SysFlag: answer.InnerBatch, Properties: props("UNIQ_KEY=BATCH;INNER_NUM=3;"),
	})
	if err != nil {
		b.c.t.Error(err)
	}
	b.queues[q] = append(append(b.queues[q], data), make([][]byte, len(messages)-1)...)
	b.all[b.next] = q
	b.next += int64(len(data))
	b.mu.Unlock()
	b.wake(func(p *parked) bool { return p.q == q })
}

func TestInnerBatchesAreTakenApart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, sink := consumeOne(t, driver.SubscriptionConfig{}, driver.Verdict{Action: driver.ActionAck}, driver.Verdict{Action: driver.ActionDeadLetter})
		b := c.brokers["a"]
		b.refuse(protocol.SendMessageBack, protocol.SystemError) // as Apache does
		b.on(protocol.SendMessageV2, func(conn *remoting.Conn, cmd *protocol.Command) bool {
			b.reply(conn, cmd, protocol.Success, &protocol.SendResponse{}, nil)
			return true
		})
		b.putBatch(orders0, 0,
			protocol.BatchEntry{Body: []byte("one"), Properties: props("UNIQ_KEY=1;TAGS=a;"), Flag: 7},
			protocol.BatchEntry{Body: []byte("two"), Properties: props("UNIQ_KEY=2;")},
			protocol.BatchEntry{Body: []byte("three"), Properties: props("UNIQ_KEY=3;")})
		pass(10 * time.Second)
		var got []string
		for _, d := range sink.all() {
			got = append(got, fmt.Sprintf("%d %s %s %q %d %#x", d.QueueOffset, d.ID, d.Tag, d.Body, d.Flag, d.SysFlag))
		}
		if diff := cmp.Diff([]string{`0 1 a "one" 7 0x0`, `1 2  "two" 0 0x0`, `2 3  "three" 0 0x0`}, got); diff != "" {
			t.Error(diff)
		}
		if o := b.committed("group", orders0); o != 3 {
			t.Errorf("committed %d, want 3: each message has an offset", o)
		}
		reqs := b.requests(protocol.SendMessageV2)
		if len(reqs) != 1 || string(reqs[0].body) != "two" {
			t.Errorf("dead letters %+v, want the second message alone", reqs)
		}
	})
}

// A group may begin in the middle of a batch: the broker then sends all of it.
func TestAnInnerBatchIsReadFromTheMiddle(t *testing.T) {
	t.Parallel()
	var body []byte
	for i := range 3 {
		var err error
		if body, err = protocol.AppendBatchEntry(body, &protocol.BatchEntry{Body: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	rec, err := protocol.AppendRecord(nil, &protocol.Record{Topic: "orders", QueueOffset: 6, Body: body, SysFlag: answer.InnerBatch})
	if err != nil {
		t.Fatal(err)
	}
	q := &queue{s: &subscription{}, mq: orders0, f: &filter{}, next: 7}
	b := newBatch(q, rec)
	if err := b.decode(); err != nil {
		t.Fatal(err)
	}
	if len(b.out) != 2 || b.out[0].QueueOffset != 7 || string(b.out[1].Body) != "2" || b.after != 9 {
		t.Errorf("%d messages, next offset %d, want those of 7 and 8", len(b.out), b.after)
	}
}

func TestABadInnerBatchStopsItsQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, sink := consumeOne(t, driver.SubscriptionConfig{})
		b := c.brokers["a"]
		b.putBatch(orders0, 1, protocol.BatchEntry{Body: []byte("one")}, protocol.BatchEntry{Body: []byte("two")})
		pass(10 * time.Second)
		if got := sink.all(); len(got) != 1 || string(got[0].Body) != "one" {
			t.Errorf("%d deliveries, want the one that can be read", len(got))
		}
		if o := b.committed("group", orders0); o != 1 {
			t.Errorf("committed %d, want 1", o)
		}
		if !strings.Contains(c.logs.String(), "inner batch at offset 0") {
			t.Error("nothing was logged")
		}
	})
}
