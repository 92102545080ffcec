// Package pay has a directive of each kind.
package pay

import (
	"context"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

//rocketmq:wire

// Payment is a payment.
type Payment struct {
	Order string `json:"order"`
}

// Service handles payments. What it needs is generated: see Runs.
type Service struct{ Calls chan string }

// Runs uses what is generated, which is not there when the package is read.
func Runs(s *Service) ServiceListeners { return NewServiceListeners(s) }

// OnPaid takes a payment.
//
//rocketmq:listener topic=${pay.topic:pay_test_topic} tags="tag1 || tag2" concurrency=32 retries=16
func (s *Service) OnPaid(_ context.Context, p Payment) error {
	s.Calls <- "paid " + p.Order
	return nil
}

//rocketmq:listener topic=stock sql="amount > 10 AND region IN ('eu','us')" concurrency=${stock.concurrency:4} timeout=90s codec=text rate_limit=0.5 name=large
//rocketmq:listener topic=refunds codec=avro kill_switch="ratio=0.9 at_least=5 window=2m pause_for=1500ms" timeout=1h
func (s *Service) OnText(_ context.Context, text string) error {
	s.Calls <- "text " + text
	return nil
}

//rocketmq:listener topic=audit batch=16 batch_wait=100ms kill_switch=on
func (s *Service) OnAudit(_ context.Context, b *consumer.Batch[*message.Delivery]) error {
	return nil
}

//rocketmq:dlq concurrency=1 timeout=30s
func (s *Service) OnDead(_ context.Context, d *message.Delivery) error {
	s.Calls <- "dead " + string(d.Body)
	return nil
}

//rocketmq:listener topic=log
func onLog(context.Context, []byte) error { return nil }

// Checks are the transactions' checks, with a value for a receiver.
type Checks struct{ paid map[string]bool }

//rocketmq:transaction topic=orders group=pay_group name=order-paid
func (c Checks) checkPaid(_ context.Context, d *message.Delivery) error { return nil }

//rocketmq:transaction topic=${stock.topic:stock}
func (c Checks) CheckStock(_ context.Context, p Payment) error { return nil }
