package consumer

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// defaultSuspend is suspendCurrentQueueTimeMillis of Apache's DefaultMQPushConsumer.
const defaultSuspend = time.Second

// Ordered handles the messages of each queue in their order, one at a time: the next
// one when the one before is done. Different queues are handled at the same time, up
// to the handlers' Concurrency. It is the group's, not a handler's, as in RocketMQ,
// where a member locks the queues that it consumes: all members must agree, and the
// handlers that share a topic by tags take turns. The producer decides what is in
// order by sending it to one queue (message.ShardingKey); a topic with a single queue
// is in order as a whole, and one message of it is handled at a time.
//
// # Failures
//
// A message that fails keeps its place. It is handled again after the Suspend time, 1 s
// unless set, or after the delay of a retry.After, by this process and before
// anything behind it: it is never sent to the group's retry topic. Its
// Delivery.ReconsumeTimes counts the attempts of this process; another member, or this
// one when it starts again, counts from 0. After the retry policy's retries, 16 unless
// chosen, it goes to the dead letters and the queue goes on. Apache's clients retry
// without end; so does
//
//	consumer.Ordered(), consumer.Retry(retry.Levels(math.MaxInt32))
//
// A broker that does not take the dead letter keeps the queue where it is.
//
// # Locks
//
// A queue belongs to one member at a time. One that becomes another member's has 20 s to
// finish its message before the handler's ctx ends, and is given over when the handler
// has returned and its offset is stored. A handler that does not return keeps its
// queue. A member that vanishes holds up its queues for a minute, RocketMQ's own time.
// One that cannot reach the master broker for 30 s gives its work up: the handlers' ctx
// ends and what they return does not count.
//
// driver/clientgo does not support it. A Broadcast group needs no locks.
func Ordered() GroupOption {
	return groupOption(func(o *groupOptions) { o.ordered = true })
}

// OrderedBy is Ordered for the messages of one key: of each key in a queue one message
// is handled at a time, in order, and different keys at the same time, up to the
// handlers' Concurrency. One that fails holds up its key only. The offset that is
// committed stays at the first message that is not done, so that what is behind it
// comes again after a crash or a rebalance, and pulling pauses when it is MaxSpan
// behind. By the producer's key:
//
//	consumer.OrderedBy((*message.Delivery).ShardingKey)
//
// Messages whose key is "" are in order among themselves. key must be quick; it is
// called once for each message that is pulled. A key that panics is "", and logged.
func OrderedBy(key func(*message.Delivery) string) GroupOption {
	return groupOption(func(o *groupOptions) { o.ordered, o.orderKey = true, chosen(key) })
}

// Suspend is how long an ordered queue, or key, rests after a failure; 1 s by default
// (suspendCurrentQueueTimeMillis).
func Suspend(d time.Duration) GroupOption {
	return groupOption(func(o *groupOptions) { o.suspend = chosen(d) })
}

// order puts what is chosen into what the driver is asked for.
func (p *plan) order(cfg *driver.SubscriptionConfig) {
	if !p.opts.ordered {
		return
	}
	cfg.Ordered, cfg.Suspend = true, p.opts.suspend.or(defaultSuspend)
	if key := p.opts.orderKey.value; key != nil {
		cfg.OrderKey = guardKey(key, p.logger())
	}
}

// suspension is what a failure of a handler costs in an ordered group, 0 elsewhere.
func (p *plan) suspension(e *entry) time.Duration {
	if !p.opts.ordered || e.dlq {
		return 0
	}
	return p.opts.suspend.or(defaultSuspend)
}

// guardKey keeps a panic of the user's function from ending the process.
func guardKey(key func(*message.Delivery) string, log *slog.Logger) func(*message.Delivery) string {
	return func(d *message.Delivery) (k string) {
		defer func() {
			if v := recover(); v != nil {
				k = ""
				log.LogAttrs(context.Background(), slog.LevelError, "the key function of an ordered group panicked; the message's key is empty", append(identity(d),
					slog.String("group", d.Group), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))...)
			}
		}()
		return key(d)
	}
}

// checkOrder finds what does not go with order, or only with it.
func (p *plan) checkOrder(caps driver.Capabilities, driverName string) {
	o := &p.opts
	if o.ordered && !caps.Ordered {
		p.mistake("%w: Ordered needs a driver that locks queues, and %s does not; use the native driver or remove the option", message.ErrUnsupported, driverName)
	}
	if o.orderKey.set && o.orderKey.value == nil {
		p.mistake("OrderedBy(nil): name a function, or use Ordered")
	}
	if d := o.suspend; d.set {
		switch {
		case !o.ordered:
			p.mistake("Suspend(%s): only ordered groups rest after a failure; add Ordered or OrderedBy, or choose a retry policy", d.value)
		case d.value <= 0:
			p.mistake("Suspend(%s): must be positive", d.value)
		}
	}
}
