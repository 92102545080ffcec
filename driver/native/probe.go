package native

import (
	"context"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

var _ driver.Prober = (*sender)(nil)

// Probe implements driver.Prober: it asks for the end of the queue, as Java's detector
// does (MQClientInstance's ServiceDetector).
func (s *sender) Probe(ctx context.Context, q message.Queue) error {
	h := &protocol.OffsetRequest{Code: protocol.GetMaxOffset, Topic: s.c.namespace.wire(q.Topic), QueueID: int32(q.ID), BrokerName: q.Broker}
	_, err := s.c.askAt(ctx, s.c.master, s.c.cfg.RequestTimeout, q, "probe broker "+q.Broker, protocol.GetMaxOffset, h)
	return err
}
