package producer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/message"
)

// Publisher sends values of one type to one topic. It is safe for concurrent use, and
// ends with its producer.
//
//	orders, err := producer.NewPublisher[Order](p, "orders", producer.Each(func(o Order) []message.Option {
//		return []message.Option{message.Key(o.ID), message.ShardingKey(o.Customer)}
//	}))
//	res, err := orders.Send(ctx, order, message.Tag("paid"), delay.After(time.Minute))
//
// A message has the options of PublishWith, then those of Each, then those of the call:
// of what can be said once, such as a tag, the last counts.
type Publisher[T any] struct {
	producer *Producer
	topic    string
	codec    codec.Codec
	opts     []message.Option
	each     func(T) []message.Option // nil: none
}

// PublisherOption sets something of a Publisher.
type PublisherOption func(*publisherOptions)

type publisherOptions struct {
	codec codec.Codec
	given bool // the codec
	opts  []message.Option
	each  any // of type func(T) []message.Option
}

// PublishAs encodes with a codec. By default strings and byte slices are the body as
// they are, everything else is JSON: what consumers expect.
func PublishAs(c codec.Codec) PublisherOption {
	return func(o *publisherOptions) { o.codec, o.given = c, true }
}

// PublishWith gives options to all messages, such as a tag.
func PublishWith(opts ...message.Option) PublisherOption {
	return func(o *publisherOptions) { o.opts = append(o.opts, opts...) }
}

// Each takes options of a message, such as its keys, from the value.
func Each[T any](options func(v T) []message.Option) PublisherOption {
	return func(o *publisherOptions) { o.each = options }
}

// NewPublisher makes a Publisher. Every mistake is reported, joined.
func NewPublisher[T any](p *Producer, topic string, opts ...PublisherOption) (*Publisher[T], error) {
	var o publisherOptions
	var errs []error
	for _, opt := range opts {
		if opt == nil {
			errs = append(errs, errors.New("an option is nil; remove it"))
			continue
		}
		opt(&o)
	}
	pub := &Publisher[T]{producer: p, topic: topic, codec: o.codec, opts: o.opts}
	if p == nil {
		errs = append(errs, errors.New("the producer is nil; make one with Client.NewProducer"))
	}
	if err := message.CheckTopic(topic); err != nil {
		errs = append(errs, err)
	}
	if slices.ContainsFunc(o.opts, func(m message.Option) bool { return m == nil }) {
		errs = append(errs, errors.New("PublishWith was given a nil option; remove it"))
	}
	typ := reflect.TypeFor[T]()
	switch {
	case o.given && o.codec == nil:
		errs = append(errs, errors.New("PublishAs(nil): name a codec, or leave the option out for the type's own"))
	case !o.given:
		pub.codec = codec.For(typ)
	}
	if pub.codec != nil {
		if err := pub.codec.Check(typ); err != nil {
			errs = append(errs, fmt.Errorf("codec %s: %w", pub.codec.Name(), err))
		}
	}
	if each, ok := o.each.(func(T) []message.Option); ok {
		pub.each = each
	} else if o.each != nil {
		errs = append(errs, fmt.Errorf("Each takes a %T; write a func(%s) []message.Option", o.each, typ))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("publisher of %s to topic %q: %w", typ, topic, errors.Join(errs...))
	}
	return pub, nil
}

// Topic is the topic's name.
func (p *Publisher[T]) Topic() string { return p.topic }

// Message makes the message of a value without sending it: for a transaction
// (txn.Kind.Send), or to be kept. The error is a message.ErrInvalidMessage.
func (p *Publisher[T]) Message(v T, opts ...message.Option) (*message.Message, error) {
	m := message.New(p.topic, nil, p.opts...)
	if p.each != nil {
		opts = slices.Concat(p.each(v), opts)
	}
	for i, o := range opts {
		if o == nil {
			return m, fmt.Errorf("%w: topic %q: option %d of %d of the message is nil; remove it", message.ErrInvalidMessage, p.topic, i+1, len(opts))
		}
		o(m)
	}
	if err := codec.Encode(p.codec, m, v); err != nil {
		return m, fmt.Errorf("%w: topic %q: %T by codec %s: %w", message.ErrInvalidMessage, p.topic, v, p.codec.Name(), err)
	}
	return m, nil
}

// Send is Producer.Send.
func (p *Publisher[T]) Send(ctx context.Context, v T, opts ...message.Option) (message.SendResult, error) {
	m, err := p.Message(v, opts...)
	if err != nil {
		return message.SendResult{}, err
	}
	return p.producer.Send(ctx, m)
}

// SendAsync is Producer.SendAsync. A value that cannot be encoded is told to cb, too.
func (p *Publisher[T]) SendAsync(ctx context.Context, v T, cb Callback, opts ...message.Option) {
	m, err := p.Message(v, opts...)
	p.producer.sendAsync(ctx, m, err, cb)
}

// SendOneway is Producer.SendOneway.
func (p *Publisher[T]) SendOneway(ctx context.Context, v T, opts ...message.Option) error {
	m, err := p.Message(v, opts...)
	if err != nil {
		return err
	}
	return p.producer.SendOneway(ctx, m)
}

// SendBatch is Producer.SendBatch. The options are for all messages; what is a value's
// own comes from Each. When one value cannot be encoded none is sent.
func (p *Publisher[T]) SendBatch(ctx context.Context, vs []T, opts ...message.Option) ([]Outcome, error) {
	if len(vs) == 0 || !p.producer.caps.Batch {
		return p.producer.SendBatch(ctx, nil)
	}
	ms, out := make([]*message.Message, len(vs)), make([]Outcome, len(vs))
	for i, v := range vs {
		ms[i], out[i].Err = p.Message(v, opts...)
	}
	return p.producer.sendBatch(ctx, ms, out)
}

// Request is Producer.Request; see RequestFor.
func (p *Publisher[T]) Request(ctx context.Context, v T, opts ...message.Option) (*message.Delivery, error) {
	m, err := p.Message(v, opts...)
	if err != nil {
		return nil, err
	}
	return p.producer.Request(ctx, m)
}

// RequestFor sends a request and decodes its reply: by the publisher's codec where that
// serves R, else by the one that consumers would take for R.
//
//	price, err := producer.RequestFor[Price](ctx, quotes, Quote{Symbol: "EURUSD"})
func RequestFor[R, T any](ctx context.Context, p *Publisher[T], v T, opts ...message.Option) (R, error) {
	var reply R
	c := p.codec
	if typ := reflect.TypeFor[R](); c.Check(typ) != nil {
		c = codec.For(typ)
		if err := c.Check(typ); err != nil {
			return reply, fmt.Errorf("%w: topic %q: a reply of type %s by codec %s: %w", message.ErrInvalidMessage, p.topic, typ, c.Name(), err)
		}
	}
	d, err := p.Request(ctx, v, opts...)
	if err != nil {
		return reply, err
	}
	if err := codec.Decode(c, d, &reply); err != nil {
		return reply, fmt.Errorf("reply %s to a request of topic %q: %d bytes as %T by codec %s: %w", d.ID, p.topic, len(d.Body), reply, c.Name(), err)
	}
	return reply, nil
}

// With is the same publisher with other options for what is sent by way of the result,
// as Producer.With.
func (p *Publisher[T]) With(opts ...SendOption) (*Publisher[T], error) {
	with, err := p.producer.With(opts...)
	if err != nil {
		return nil, err
	}
	own := *p
	own.producer = with
	return &own, nil
}
