package broker

import (
	"context"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// decoded serves a request with a header H on a goroutine of its own: f may read
// much, or wait.
func decoded[H any, P interface {
	*H
	protocol.HeaderDecoder
}](b *Broker, f func(h *H) answer) handler {
	return func(p *peer, cmd *protocol.Command) {
		h := P(new(H))
		if err := h.DecodeFields(cmd.Fields); err != nil {
			b.reply(p.conn, cmd, failed(err))
			return
		}
		b.later(p, cmd, func(context.Context) answer { return f((*H)(h)) })
	}
}
