package broker

import (
	"maps"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// handler serves one request, on its connection's reader goroutine. It answers it
// itself, now or later.
type handler func(p *peer, cmd *protocol.Command)

// handlers are the codes that are served. The comment of the file that serves a
// family says what each version of Apache expects of it.
type handlers map[protocol.Code]handler

// families puts all codes together. A code has one handler.
func (b *Broker) families() handlers {
	all := handlers{}
	for _, family := range []handlers{
		b.sendHandlers(),
		b.pullHandlers(),
		b.popHandlers(),
		b.assignmentHandlers(),
		b.recallHandlers(),
		b.offsetHandlers(),
		b.clientHandlers(),
		b.topicHandlers(),
		b.groupHandlers(),
		b.statsHandlers(),
		b.cleanHandlers(),
		b.configHandlers(),
		b.runtimeHandlers(),
		b.viewHandlers(),
		b.lockHandlers(),
		b.replyHandlers(),
		b.queryHandlers(),
		b.connectionHandlers(),
		b.consumeStatsHandlers(),
		b.resetHandlers(),
		b.callClientHandlers(),
		b.consumeQueueHandlers(),
		b.resumeHandlers(),
	} {
		maps.Copy(all, family)
	}
	return all
}

// at answers at once.
func (b *Broker) at(f func(p *peer, cmd *protocol.Command) answer) handler {
	return func(p *peer, cmd *protocol.Command) { b.reply(p.conn, cmd, f(p, cmd)) }
}
