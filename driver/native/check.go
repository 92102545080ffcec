package native

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// checkBrokers asks the brokers, before the group is joined, whether they take its
// SQL92 expressions (code 46): on a broker that does not, or with a wrong expression,
// the group would get nothing and be told so by failing pulls only. It also sees whether
// they are of versions that keep exact retry delays, where the group must have these. As
// with Apache's client, servers and topics that are not there yet go unchecked. It takes
// a request's time at most.
func (s *subscription) checkBrokers(caller context.Context) error {
	ctx, cancel := context.WithTimeout(caller, s.c.cfg.RequestTimeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() // Stop does not wait for answers
	var asked []func() error
	for _, topic := range s.topics() {
		f := s.filter[topic]
		if f.data.TagType() && (!s.cfg.ExactRetries || topic == message.RetryTopic(s.cfg.Group)) {
			continue
		}
		r, err := s.c.routes.forReading(ctx, topic)
		if err != nil {
			if err := s.unchecked(caller, topic, err); err != nil {
				return err
			}
			continue
		}
		for _, b := range r.brokers {
			addr := b.master()
			if addr == "" {
				continue
			}
			asked = append(asked, func() error {
				err := s.checkBroker(ctx, s.c.brokers.get(addr), b.name, f)
				var refused *message.BrokerError
				if err != nil && !errors.As(err, &refused) && !errors.Is(err, message.ErrUnsupported) {
					err = s.unchecked(caller, topic, err)
				}
				return err
			})
		}
	}
	// All at once: one that says nothing leaves the others their time.
	errs := make([]error, len(asked))
	var answers sync.WaitGroup
	for i, ask := range asked {
		answers.Go(func() { errs[i] = ask() })
	}
	answers.Wait()
	return errors.Join(errs...)
}

// checkBroker looks at one broker.
func (s *subscription) checkBroker(ctx context.Context, b *broker, name string, f *filter) error {
	if s.cfg.ExactRetries {
		op := "retry messages of topic " + f.data.Topic + " after exact delays"
		if _, err := b.connect(ctx); err != nil { // which tells the version
			return callError(op, name, b.addr, err)
		}
		if err := b.keepsDelays(op, name); err != nil {
			return err
		}
	}
	if f.data.TagType() {
		return nil
	}
	return s.checkFilter(ctx, b, name, f)
}

// checkFilter asks one broker about an expression.
func (s *subscription) checkFilter(ctx context.Context, b *broker, name string, f *filter) error {
	op := "subscribe to topic " + f.data.Topic + " by SQL92"
	data := f.subscription()
	body, err := protocol.EncodeBody(protocol.CheckClientRequest{ClientID: s.c.id, Group: s.cfg.Group, Subscription: &data})
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	resp, err := b.ask(ctx, name, op, protocol.CheckClientConfig, nil, body)
	if err != nil {
		return err
	}
	switch resp.Code {
	case protocol.Success:
		f.readable.Store(true)
		return nil
	case protocol.SystemError, protocol.CodeNotSupported:
		return &UnsupportedError{
			Op: op, Broker: name, Addr: b.addr, Why: "it does not filter by expressions",
			Remedy: "set enablePropertyFilter=true in its broker.conf, or filter by tags", Err: answer.Refusal(op, name, b.addr, resp),
		}
	}
	return answer.Refusal(op, name, b.addr, resp)
}

// unchecked goes on without an answer, unless the caller gives up or the client
// closes.
func (s *subscription) unchecked(caller context.Context, topic string, err error) error {
	switch {
	case errors.Is(err, message.ErrClosed), caller.Err() != nil:
		return err
	case s.ctx.Err() != nil: // it was stopped meanwhile
		return context.Cause(s.ctx)
	case !errors.Is(err, message.ErrNoRoute):
		s.c.log.Warn("a subscription is not checked", "group", s.group, "topic", s.c.namespace.shown(topic), "error", err)
	}
	return nil
}

// newExpression is a filter that only the broker evaluates.
func newExpression(t driver.TopicFilter, version int64) (*filter, error) {
	if t.Expression == "" {
		return nil, fmt.Errorf("the SQL92 expression for topic %q is empty; write one such as \"amount > 10\", or subscribe by tags", t.Topic)
	}
	f := &filter{data: protocol.SubscriptionData{Topic: t.Topic, SubString: t.Expression, ExpressionType: protocol.ExpressionSQL92}}
	f.version.Store(version)
	return f, nil
}
