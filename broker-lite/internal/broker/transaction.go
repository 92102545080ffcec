package broker

import (
	"context"
	"errors"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/halfmsg"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// Codes 37 END_TRANSACTION (EndTransactionProcessor), mostly oneway, 323
// RESUME_CHECK_HALF_MESSAGE (AdminBrokerProcessor), and the broker's own 39
// CHECK_TRANSACTION_STATE. 5.x adds the topic to all. An outcome that is not known
// yet is no outcome: Apache does not answer it, and the next check-back asks again.
//
// 323 puts a half message that was given up back to be checked anew. Apache takes
// the id of any message, and an open half message would be there twice then; here it
// must be in TRANS_CHECK_MAX_TIME_TOPIC.

func (b *Broker) resumeHandlers() handlers {
	return handlers{protocol.ResumeCheckHalfMessage: decoded(b, b.resumeCheck)}
}

func (b *Broker) endTransaction(p *peer, cmd *protocol.Command) {
	var h protocol.EndTransactionRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	if h.CommitOrRollback == 0 {
		b.logger.Info("a transaction's outcome is unknown still", "group", h.ProducerGroup, "message", h.MessageID, "check", h.FromTransactionCheck)
		b.reply(p.conn, cmd, answer{})
		return
	}
	if b.closing.Load() {
		b.reply(p.conn, cmd, b.storeFailed(errShuttingDown))
		return
	}
	request := *cmd
	request.Fields, request.Body = nil, nil
	b.sending.Add(1)
	b.half.End(&h, func(err error) {
		var refusal *halfmsg.Refusal
		a := answer{}
		switch {
		case err == nil && h.CommitOrRollback == protocol.SysCommit:
			b.stats.commits.Add(1)
		case err == nil:
			b.stats.rollbacks.Add(1)
		case errors.As(err, &refusal):
			a = answer{code: refusal.Code, remark: refusal.Remark}
		case err != nil:
			a = b.storeFailed(err)
		}
		b.reply(p.conn, &request, a)
		b.sent()
	})
}

// OpenTransactions is how many half messages have no outcome yet.
func (b *Broker) OpenTransactions() int { return b.half.Count() }

const (
	// checkTries is how many members of a group a check-back is offered to, and
	// offerTimeout how long each may take (ProducerManager.getAvailableChannel tries
	// three more than the first, Broker2Client waits 10 ms).
	checkTries   = 4
	offerTimeout = 10 * time.Millisecond

	// deafness is how long a producer that does not read is asked nothing more, so
	// that other transactions do not wait for it.
	deafness = 10 * time.Second
)

// askOutcome sends code 39 to the next member of a producer group that takes it: not
// to one whose connection closes, or that leaves too much unread. When no other takes
// it, the first may take longer.
func (b *Broker) askOutcome(group string, h *protocol.CheckTransactionRequest, record []byte) {
	var first *peer
	var failed error
	for range checkTries {
		c, ok := b.sessions.ProducerConn(group)
		if !ok && first == nil {
			b.logger.Warn("a transaction cannot be checked: its producer group has no members", "group", group, "message", h.MessageID)
			return
		}
		if !ok || first != nil && c == first.conn {
			break
		}
		p, ok := c.Attachment().(*peer)
		if !ok || time.Now().UnixNano() < p.deafTill.Load() {
			continue
		}
		err := b.ask(c, offerTimeout, h, record)
		if err == nil {
			if first != nil {
				first.deafen(failed)
			}
			return
		}
		if first == nil {
			first, failed = p, err
		}
	}
	if first == nil {
		b.logger.Debug("a transaction is not checked now: its producers do not read", "group", group, "message", h.MessageID)
		return
	}
	if err := b.ask(first.conn, pushTimeout, h, record); err != nil {
		first.deafen(err)
		b.logger.Warn("a transaction could not be checked", "group", group, "message", h.MessageID, "peer", first.conn.RemoteAddr().String(), "err", err)
	}
}

// ask sends code 39 to one member.
func (b *Broker) ask(c *remoting.Conn, timeout time.Duration, h *protocol.CheckTransactionRequest, record []byte) error {
	cmd := protocol.Command{Code: protocol.CheckTransactionState, Language: protocol.LanguageGo, Version: protocol.ServerVersion}
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	return c.Oneway(ctx, &cmd, h, record)
}

// deafen leaves a member alone for a while that did not take a request in time.
func (p *peer) deafen(err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		p.deafTill.Store(time.Now().Add(deafness).UnixNano())
	}
}

func (b *Broker) resumeCheck(h *protocol.ResumeCheckRequest) answer {
	const remark = "Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC."
	_, phys, err := protocol.ParseOffsetMessageID(h.MessageID)
	if err != nil {
		return refuse(protocol.SystemError, remark+" (%v)", err)
	}
	raw, err := b.store.ReadRecord(phys)
	if err != nil {
		return refuse(protocol.SystemError, remark+" (%v)", err)
	}
	var r protocol.Record
	if _, err := protocol.DecodeRecord(raw, &r); err != nil {
		return refuse(protocol.SystemError, remark+" (%v)", err)
	}
	if r.Topic != meta.CheckMaxTimeTopic {
		return refuse(protocol.SystemError, remark+" (the message is in topic %s, not in %s)", r.Topic, meta.CheckMaxTimeTopic)
	}
	r.Topic, r.QueueID = meta.HalfTopic, 0
	r.Properties = protocol.SetProperty(r.Properties, protocol.PropCheckTimes, "0")
	group := redeliver.NewGroup(b.store)
	if err := group.Append(&r, TagsCode(b.levels)(&r)); err != nil {
		return failed(err)
	}
	var stored store.AppendResult
	if _, err := group.Wait(func(_ int, res store.AppendResult) { stored = res }); err != nil || stored.Err != nil {
		return b.storeFailed(errors.Join(err, stored.Err))
	}
	immunity, _ := protocol.Property(r.Properties, protocol.PropCheckImmunity)
	b.half.Prepared(stored.QueueOffset, stored.StoreTimestamp, b.half.Immunity([]byte(immunity)))
	return answer{}
}
