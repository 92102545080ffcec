package consumer

import (
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// Broadcast has every member of the group get every message, where otherwise each
// message goes to one of them. All members must agree.
//
// Nothing is retried by the broker and nothing is dead-lettered: a message whose handler
// fails is logged, counted (Consumer.Skipped) and passed over, after the immediate
// retries of a policy such as
//
//	consumer.Broadcast(), consumer.Retry(retry.None().Immediately(3))
//
// A retry policy with retries by the broker is refused, unless the group is Ordered too:
// then a message that fails keeps its place, and is passed over after those retries.
//
// The offsets are kept on this machine, in the file <OffsetDir>/<Instance>/<group>/
// offsets.json, which is written every 5 s and at the end; so a crash repeats up to 5 s
// of messages. A member that starts for the first time begins as From says, and one that
// starts again, by the same name, goes on where it was.
//
// driver/clientgo does not support it.
func Broadcast() GroupOption {
	return groupOption(func(o *groupOptions) { o.broadcast = true })
}

// Clustering takes back a Broadcast that was given before: each message goes to one member
// of the group, as it does by default.
func Clustering() GroupOption {
	return groupOption(func(o *groupOptions) { o.broadcast = false })
}

// Instance is the name by which a member of a Broadcast group finds its offsets again;
// "DEFAULT" unless set, as with Apache's clients. Processes on one machine that broadcast
// to the same group need a name each: the second by the same name does not start.
func Instance(name string) GroupOption {
	return groupOption(func(o *groupOptions) { o.instance = chosen(name) })
}

// OffsetDir is where Broadcast groups keep their offsets; ~/.rocketmq_offsets unless
// set, as with Apache's clients (rocketmq.client.localOffsetStoreDir). A container
// needs a volume there.
func OffsetDir(dir string) GroupOption {
	return groupOption(func(o *groupOptions) { o.offsetDir = chosen(dir) })
}

// Skipped is how many messages of a Broadcast group were passed over, because their
// handler failed.
func (c *Consumer) Skipped() int64 { return c.skipped.Load() }

// model puts what is chosen into what the driver is asked for.
func (p *plan) model(cfg *driver.SubscriptionConfig) {
	if p.opts.broadcast {
		cfg.Broadcast = &driver.Broadcast{Dir: p.opts.offsetDir.value, Instance: p.opts.instance.value}
	}
}

// passOver turns the decision about a failed broadcast message into what can be done:
// nothing is dead-lettered, and only an ordered group delivers again.
func (h *handler) passOver(d retry.Decision) (decision retry.Decision, skipped bool) {
	if h.skipped == nil || d.Action != retry.DeadLetter && (d.Action != retry.Later || h.suspend > 0) {
		return d, false
	}
	return retry.Decision{Action: retry.Acknowledge}, true
}

// checkModel finds what does not go with broadcasting, or only with it.
func (p *plan) checkModel(caps driver.Capabilities, driverName string) {
	o := &p.opts
	if !o.broadcast {
		if o.instance.set || o.offsetDir.set {
			p.mistake("Instance and OffsetDir are for the offsets of a Broadcast group; add Broadcast, or remove them")
		}
		return
	}
	if !caps.Broadcast {
		p.mistake("%w: Broadcast needs a driver that keeps offsets on this machine, and %s does not; use the native driver or remove the option", message.ErrUnsupported, driverName)
	}
	if o.instance.set && o.instance.value == "" || o.offsetDir.set && o.offsetDir.value == "" {
		p.mistake("Instance or OffsetDir is empty; leave it out for its default")
	}
	if o.allocate != nil {
		p.mistake("Allocate: a broadcast group does not share its queues out; remove the option")
	}
	if o.strictRetryDelay {
		p.mistake("StrictRetryDelay: a broadcast message is not retried by the broker; remove the option")
	}
	for _, e := range p.entries {
		switch policy := e.policyOr(&o.common); {
		case e.dlq:
			p.mistake("%s: a broadcast group has no dead letters; remove HandleDLQ", e.label())
		case !o.ordered && !policy.IsZero() && policy.Retries() > 0:
			p.mistake("%s: Retry(%s): a broadcast message is not retried by the broker; use retry.None().Immediately(n), or Ordered", e.label(), policy)
		}
	}
}
