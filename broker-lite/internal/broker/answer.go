package broker

import (
	"errors"
	"fmt"

	"github.com/rocketkit/rocketkit/broker-lite/internal/acl"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/session"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// faq is what Apache appends to remarks that its clients show to users.
const faq = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."

// answer is a response; the zero value is success without a body.
type answer struct {
	code   protocol.Code
	remark string
	header protocol.Header
	body   []byte
}

func refuse(code protocol.Code, format string, args ...any) answer {
	return answer{code: code, remark: fmt.Sprintf(format, args...)}
}

// failed answers for an error: the ones that say how, as they want; others with
// SYSTEM_ERROR, as Apache does for whatever its processors throw.
func failed(err error) answer {
	var name *meta.NameError
	var refusal *session.Refusal
	var denied *acl.Refusal
	switch {
	case errors.As(err, &denied):
		return answer{code: denied.Code(), remark: denied.Remark()}
	case errors.As(err, &refusal):
		return answer{code: refusal.Code, remark: refusal.Remark}
	case errors.As(err, &name):
		return answer{code: protocol.InvalidParameter, remark: name.Remark}
	}
	return answer{code: protocol.SystemError, remark: err.Error()}
}

// unsupported has Apache's text, leading blank included.
func unsupported(code protocol.Code) answer {
	return refuse(protocol.CodeNotSupported, " request type %d not supported", code)
}

// encoded answers with a JSON body.
func encoded(v any) answer {
	body, err := protocol.EncodeBody(v)
	if err != nil {
		return failed(err)
	}
	return answer{body: body}
}

// storeFailed answers for an append that was not stored.
func (b *Broker) storeFailed(err error) answer {
	var full *store.WriteError
	var broken *store.FailedError
	var above *store.FullError
	switch {
	case errors.As(err, &above):
		return refuse(protocol.ServiceNotAvailable, "service not available now. It may be caused by one of the following reasons: the broker's disk is full [%s: %d%%], messages are put to the slave, message store has been shut down, etc. (%v)", above.Dir, above.Used, err)
	case errors.Is(err, store.ErrOverloaded):
		return refuse(protocol.SystemBusy, "[PC_SYNCHRONIZED]broker busy, start flow control for a while: %v", err)
	case errors.Is(err, store.ErrTooLarge):
		return refuse(protocol.MessageIllegal, "%v (mappedFileSizeCommitLog)", err)
	case errors.Is(err, store.ErrBadAppend):
		return refuse(protocol.MessageIllegal, "%v", err)
	case errors.As(err, &full), errors.As(err, &broken), errors.Is(err, store.ErrClosed):
		return refuse(protocol.ServiceNotAvailable, "service not available now. It may be caused by one of the following reasons: the broker's disk is full, messages are put to the slave, message store has been shut down, etc. (%v)", err)
	}
	return failed(err)
}

// reply answers a request that expects an answer.
func (b *Broker) reply(c *remoting.Conn, cmd *protocol.Command, a answer) {
	if cmd.IsOneway() {
		if a.code != protocol.Success {
			b.logger.Warn("a oneway request failed", "request", protocol.RequestName(cmd.Code), "peer", c.RemoteAddr().String(),
				"code", protocol.ResponseName(a.code), "remark", a.remark)
		}
		return
	}
	resp := cmd.Response(a.code, a.remark)
	b.send(c, &resp, a.header, a.body)
}

// send queues a response. A peer that is gone needs none.
func (b *Broker) send(c *remoting.Conn, resp *protocol.Command, h protocol.Header, body []byte) {
	if err := b.replier(c, resp, h, body); err != nil {
		b.logger.Debug("answer not sent", "peer", c.RemoteAddr().String(), "code", protocol.ResponseName(resp.Code), "err", err)
	}
}
