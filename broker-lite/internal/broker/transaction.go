package broker

import (
	"context"
	"errors"

	"github.com/rocketkit/rocketkit/broker-lite/internal/halfmsg"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Code 37 END_TRANSACTION (EndTransactionProcessor), mostly oneway, and the
// broker's own 39 CHECK_TRANSACTION_STATE. 5.x adds the topic to both. An outcome
// that is not known yet is no outcome: Apache does not answer it, and the next
// check-back asks again.

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

// askOutcome sends code 39 to a member of a producer group.
func (b *Broker) askOutcome(group string, h *protocol.CheckTransactionRequest, record []byte) {
	c, ok := b.sessions.ProducerConn(group)
	if !ok {
		b.logger.Warn("a transaction cannot be checked: its producer group has no members", "group", group, "message", h.MessageID)
		return
	}
	cmd := protocol.Command{Code: protocol.CheckTransactionState, Language: protocol.LanguageGo, Version: protocol.ServerVersion}
	ctx, cancel := context.WithTimeout(b.ctx, pushTimeout)
	defer cancel()
	if err := c.Oneway(ctx, &cmd, h, record); err != nil {
		b.logger.Warn("a transaction could not be checked", "group", group, "message", h.MessageID, "peer", c.RemoteAddr().String(), "err", err)
	}
}
