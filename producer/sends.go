package producer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// sends are the options that With can change.
type sends struct {
	retries        int
	retryUnknown   bool
	retryAsync     bool
	requireDurable bool
	sendTimeout    time.Duration
	attemptTimeout time.Duration
	failFast       bool
	selector       QueueSelector
	toQueue        message.Queue // what selector was made of by ToQueue
}

// validate refuses mistakes.
func (s *sends) validate(refuse func(bad bool, format string, args ...any)) {
	refuse(s.retries < 0, "Retries(%d) is negative; 0 makes one attempt", s.retries)
	refuse(s.sendTimeout <= 0, "SendTimeout(%s) must be positive", s.sendTimeout)
	refuse(s.attemptTimeout < 0, "AttemptTimeout(%s) is negative", s.attemptTimeout)
	refuse(s.sendTimeout > 0 && s.attemptTimeout > s.sendTimeout, "AttemptTimeout(%s) is longer than SendTimeout(%s)", s.attemptTimeout, s.sendTimeout)
}

// With is the same producer with other options for what is sent by way of the result:
// one message, or all of a kind. It ends when the producer does, and ends it. Messages
// that are sent so do not share a request with others (Linger).
//
//	urgent, err := p.With(producer.Retries(0), producer.SendTimeout(500*time.Millisecond), producer.FailFast())
//	r, err := urgent.Send(ctx, m)
//
// What a message needs of its own is in the message: key, delay, properties. An earlier
// deadline of ctx wins over SendTimeout.
func (p *Producer) With(opts ...SendOption) (*Producer, error) {
	with := &Producer{core: p.core, sends: p.sends, alone: true}
	nils := 0
	for _, o := range opts {
		if o == nil {
			nils++
			continue
		}
		o.applySends(&with.sends)
	}
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("producer %q: With: "+format, append([]any{p.group}, args...)...))
		}
	}
	refuse(nils > 0, "%d of the options are nil; remove them", nils)
	with.sends.validate(refuse)
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	return with, nil
}

// ToQueue sends every message to that queue, as SendResult.Queue names it; all attempts go
// there. While the topic has no such queue, or the message is of another topic, the send
// fails with message.ErrUnreachable.
func ToQueue(q message.Queue) SendOption {
	sel := func(_ *message.Message, queues []message.Queue) int {
		if i := slices.Index(queues, q); i >= 0 {
			return i
		}
		return noSuchQueue
	}
	return sendOption(func(s *sends) { s.selector, s.toQueue = sel, q })
}

// noSuchQueue is a selector's answer.
const noSuchQueue = -1 << 31
