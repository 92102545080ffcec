package broker

import (
	"context"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/audit"
	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	// adminTimeout bounds how long an answer waits for the disk and for slow name
	// servers.
	adminTimeout = 6 * time.Second
	// adminCost is what an answer that waits takes of its connection's maxInFlight:
	// some hundred may wait.
	adminCost = 64 << 10
)

// conf is the configuration as it is now. It must not be changed.
func (b *Broker) conf() *config.Config { return b.live.Load() }

// audit logs that an operator changes something: who, from where, and what.
func (b *Broker) audit(p *peer, cmd *protocol.Command, attrs ...any) {
	if b.acl != nil {
		if key := b.acl.guard.Rules().Account(p.born.Addr(), cmd); key != "" {
			attrs = append([]any{"accessKey", key}, attrs...)
		}
	}
	audit.Log(b.logger, p.conn, cmd, attrs...)
}

// later answers with f's answer, on a goroutine of its own. f must not look at the
// request: it is gone by then.
func (b *Broker) later(p *peer, cmd *protocol.Command, f func(ctx context.Context) answer) {
	if !p.acquire(adminCost) {
		return
	}
	request := *cmd
	request.Fields, request.Body = nil, nil
	b.spawn(func() {
		defer p.release(adminCost)
		ctx, cancel := context.WithTimeout(b.ctx, adminTimeout)
		defer cancel()
		b.reply(p.conn, &request, f(ctx))
	})
}

// inTurn is later for changes that must not meet each other.
func (b *Broker) inTurn(p *peer, cmd *protocol.Command, f func(ctx context.Context) answer) {
	b.later(p, cmd, func(ctx context.Context) answer {
		select {
		case b.turn <- struct{}{}:
		case <-ctx.Done():
			return refuse(protocol.SystemBusy, "other changes are under way; try again")
		}
		defer func() { <-b.turn }()
		return f(ctx)
	})
}
