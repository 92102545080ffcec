package native

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// SendTx implements driver.Transactor. As in Apache's client, a half message
// whose status is not SEND_OK is rolled back without running local.
func (s *sender) SendTx(ctx context.Context, q message.Queue, m *driver.Outgoing, local func(context.Context, driver.Receipt) driver.TxState) (driver.Receipt, driver.TxState, error) {
	if !m.Delay.IsZero() {
		return driver.Receipt{}, driver.TxUnknown, fmt.Errorf("%w: a transactional message cannot be delayed: RocketMQ drops the delay; delay the message that the transaction leads to", message.ErrInvalidMessage)
	}
	q, err := s.txQueue(ctx, q, m.Topic)
	if err != nil {
		return driver.Receipt{}, driver.TxUnknown, err
	}
	r, err := s.sendHalf(ctx, q, m)
	if err != nil {
		return r, driver.TxUnknown, err
	}
	state := driver.TxRollback
	if r.Status == message.SendOK {
		state = s.runLocal(ctx, m, r, local)
	}
	if err := s.endHalf(q, m, r, state); err != nil {
		s.c.log.Warn("could not tell how a transaction ended; the broker will ask", "group", s.group, "topic", m.Topic, "id", m.ID, "state", state, "error", err)
	}
	return r, state, nil
}

// txQueue is q, or the next queue in turn.
func (s *sender) txQueue(ctx context.Context, q message.Queue, topic string) (message.Queue, error) {
	if q != (message.Queue{}) {
		return q, nil
	}
	queues, err := s.Queues(ctx, topic)
	if err != nil {
		return q, err
	}
	return queues[s.next.Add(1)%uint32(len(queues))], nil
}

// sendHalf stores the half message.
func (s *sender) sendHalf(ctx context.Context, q message.Queue, m *driver.Outgoing) (driver.Receipt, error) {
	type outcome struct {
		r   driver.Receipt
		err error
	}
	ch := make(chan outcome, 1)
	op := s.op(ctx, q, func(r driver.Receipt, err error) { ch <- outcome{r, err} })
	if err := op.single(m); err != nil {
		op.fail(err)
	} else {
		op.half()
		op.start()
	}
	o := <-ch
	return o.r, o.err
}

// half makes a prepared message a half message: the properties count for the
// broker, the flag is for the log.
func (o *sendOp) half() {
	o.props = protocol.AppendProperty(o.props, protocol.PropTransactionPrepared, "true")
	o.props = protocol.AppendProperty(o.props, protocol.PropProducerGroup, o.s.cfg.Group)
	o.header.Properties = o.props
	o.header.SysFlag |= protocol.SysPrepared
}

// runLocal runs the local transaction; one that panics leaves the state open.
func (s *sender) runLocal(ctx context.Context, m *driver.Outgoing, r driver.Receipt, local func(context.Context, driver.Receipt) driver.TxState) (state driver.TxState) {
	defer func() {
		if v := recover(); v != nil {
			state = driver.TxUnknown
			s.c.log.Error("panic in a local transaction; the broker will ask how it ended", "group", s.group, "topic", m.Topic, "id", m.ID, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	return local(ctx, r)
}

// endHalf tells the broker the state (code 37, oneway).
func (s *sender) endHalf(q message.Queue, m *driver.Outgoing, r driver.Receipt, state driver.TxState) error {
	_, physical, err := protocol.ParseOffsetMessageID(r.OffsetMessageID)
	if err != nil {
		return err
	}
	h := &protocol.EndTransactionRequest{
		Topic: s.c.namespace.wire(m.Topic), ProducerGroup: s.cfg.Group, TranStateTableOffset: r.QueueOffset, CommitLogOffset: physical,
		CommitOrRollback: txFlag(state), MessageID: m.ID, TransactionID: r.TransactionID, BrokerName: q.Broker,
	}
	ctx, cancel := s.c.bounded(s.c.ctx)
	defer cancel()
	conn, err := s.c.brokers.get(r.Addr).connect(ctx)
	if err != nil {
		return err
	}
	cmd := protocol.ClientRequest(protocol.EndTransaction)
	return conn.Oneway(ctx, &cmd, h)
}

func txFlag(state driver.TxState) int32 {
	switch state {
	case driver.TxCommit:
		return protocol.SysCommit
	case driver.TxRollback:
		return protocol.SysRollback
	}
	return 0
}

// check answers a broker's question about a half message (code 39) on the
// connection that it came by.
func (s *sender) check(conn *remoting.Conn, h *protocol.CheckTransactionRequest, rec *protocol.Record) {
	q := message.Queue{Topic: rec.Topic, Broker: h.BrokerName, ID: int(rec.QueueID)}
	if q.Broker == "" { // 4.9 does not say
		q.Broker = s.c.targets()[conn.RemoteAddr().String()]
	}
	d, err := answer.Delivery(rec, s.cfg.Group, q)
	if err != nil {
		s.c.log.Error("a half message's body cannot be read; its state stays open", "group", s.group, "topic", s.c.namespace.shown(rec.Topic), "error", err)
		return
	}
	d.SetNamespace(s.c.namespace.name)
	state := s.askCheck(d)
	reply := &protocol.EndTransactionRequest{
		Topic: rec.Topic, ProducerGroup: s.cfg.Group, TranStateTableOffset: h.TranStateTableOffset, CommitLogOffset: h.CommitLogOffset,
		CommitOrRollback: txFlag(state), FromTransactionCheck: true, MessageID: d.ID, TransactionID: h.TransactionID, BrokerName: h.BrokerName,
	}
	cmd := protocol.ClientRequest(protocol.EndTransaction)
	if err := conn.Oneway(remoting.WithTimeout(s.ctx, s.c.cfg.RequestTimeout), &cmd, reply); err != nil {
		s.c.log.Warn("could not answer about a half message; the broker will ask again", "group", s.group, "topic", d.Topic, "id", d.ID, "error", err)
	}
}

// askCheck runs the user's check; one that panics leaves the state open.
func (s *sender) askCheck(d *message.Delivery) (state driver.TxState) {
	defer func() {
		if v := recover(); v != nil {
			state = driver.TxUnknown
			s.c.log.Error("panic in a transaction check; the broker will ask again", "group", s.group, "topic", d.Topic, "id", d.ID, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	return s.cfg.Check(s.ctx, d)
}
