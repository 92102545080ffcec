package clientgo

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// attempt is one send under way. Its outcome is rocketmq-client-go's or, when
// the caller's ctx ends first, that it is not known; whichever comes first.
type attempt struct {
	s     *sender
	ctx   context.Context
	op    string
	q     message.Queue
	done  func(driver.Receipt, error)
	ended atomic.Bool
}

// start begins the attempt. The caller's ctx is not handed on: later versions of
// rocketmq-client-go make its deadline the write deadline of the connection that
// all share, and destroy that when it has passed.
func (s *sender) start(ctx context.Context, a *attempt, ms ...*primitive.Message) {
	if err := ctx.Err(); err != nil {
		a.done(driver.Receipt{}, fmt.Errorf("%s: nothing was sent: %w", a.op, err))
		return
	}
	if !s.begin() {
		a.done(driver.Receipt{}, fmt.Errorf("%s: %w", a.op, s.closedError()))
		return
	}
	a.ctx = ctx
	stop := context.AfterFunc(ctx, a.abandon)
	go func() {
		defer s.end()
		defer stop()
		r, err := s.producer.SendSync(context.Background(), ms...)
		if err != nil {
			a.finish(driver.Receipt{}, sendError(a.op, s.c.wireQueue(a.q), err))
			return
		}
		a.finish(a.receipt(r))
	}()
}

// abandon ends an attempt whose ctx has ended; rocketmq-client-go goes on with it.
func (a *attempt) abandon() {
	a.finish(driver.Receipt{}, &message.UnknownOutcomeError{Op: a.op, Broker: a.q.Broker, Err: a.ctx.Err()})
}

func (a *attempt) finish(r driver.Receipt, err error) {
	if !a.ended.Swap(true) {
		a.done(r, err)
	}
}

// receipt reads rocketmq-client-go's result.
func (a *attempt) receipt(r *primitive.SendResult) (driver.Receipt, error) {
	status, ok := statusOf(r.Status)
	if !ok {
		return driver.Receipt{}, &message.UnknownOutcomeError{Op: a.op, Broker: a.q.Broker, Err: fmt.Errorf("rocketmq-client-go answers with status %d", r.Status)}
	}
	return driver.Receipt{
		Status: status, OffsetMessageID: r.OffsetMsgID, QueueID: r.MessageQueue.QueueId,
		QueueOffset: r.QueueOffset, TransactionID: r.TransactionID, Addr: addrOf(r.OffsetMsgID),
		Region: r.RegionID, Untraced: !r.TraceOn,
	}, nil
}

func statusOf(s primitive.SendStatus) (message.Status, bool) {
	switch s {
	case primitive.SendOK:
		return message.SendOK, true
	case primitive.SendFlushDiskTimeout:
		return message.FlushDiskTimeout, true
	case primitive.SendFlushSlaveTimeout:
		return message.FlushSlaveTimeout, true
	case primitive.SendSlaveNotAvailable:
		return message.SlaveNotAvailable, true
	case primitive.SendUnknownError:
	}
	return 0, false
}

// addrOf is the broker's address as an offset message id has it, "" when it has
// none. rocketmq-client-go does not say where it sent a message.
func addrOf(offsetID string) string {
	host := storeHost(offsetID)
	if !host.IsValid() {
		return ""
	}
	return host.String()
}

// storeHost reads the address that an offset message id begins with: 4 or 16
// bytes and a port of 4, before the offset's 8, all in hexadecimal.
func storeHost(offsetID string) netip.AddrPort {
	const v4, v6 = 2 * (4 + 4 + 8), 2 * (16 + 4 + 8)
	if len(offsetID) > v4 && offsetID[v4] == ',' { // a batch's ids
		offsetID = offsetID[:v4]
	} else if len(offsetID) > v6 && offsetID[v6] == ',' {
		offsetID = offsetID[:v6]
	}
	if len(offsetID) != v4 && len(offsetID) != v6 {
		return netip.AddrPort{}
	}
	b, err := hex.DecodeString(offsetID)
	if err != nil {
		return netip.AddrPort{}
	}
	n := len(b) - 12
	ip, _ := netip.AddrFromSlice(b[:n]) // 4 or 16 bytes always are one
	return netip.AddrPortFrom(ip, uint16(b[n+2])<<8|uint16(b[n+3]))
}
