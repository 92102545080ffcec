package txn

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/internal/setting"
	"github.com/rocketkit/rocketkit/message"
)

// Kind is one kind of transaction: its name, the topic of its messages and its
// check. The name travels with the messages and must stay the same over
// releases.
type Kind struct {
	name, topic string
	check       Check
	mistakes    []error // of its making
}

// KindOption sets something of a Kind.
type KindOption func(*kindOptions)

type kindOptions struct {
	lookup setting.Lookup
	codec  codec.Codec
	coded  bool // CheckAs was given
}

// Placeholders resolves ${key} and ${key:default} in a kind's topic, from configuration or
// the environment: os.LookupEnv will do, and config/load's Lookup reads both. All processes
// that send the kind, or are asked about it, must come to the same topic.
func Placeholders(lookup func(key string) (value string, ok bool)) KindOption {
	return func(o *kindOptions) { o.lookup = lookup }
}

// CheckAs decodes the messages for the check of a NewKindOf. By default strings and byte
// slices are the body as it is, everything else is JSON.
func CheckAs(c codec.Codec) KindOption {
	return func(o *kindOptions) { o.codec, o.coded = c, true }
}

// NewKind makes a kind. Mistakes are reported when a producer is made with it. The topic
// may have placeholders, see Placeholders.
func NewKind(name, topic string, check Check, opts ...KindOption) *Kind {
	k, o := newKind(name, topic, opts)
	if o.coded {
		k.mistake("CheckAs is for the checks of NewKindOf; remove it")
	}
	k.check = check
	return k
}

// NewKindOf is NewKind with a check that gets the message's value instead of the message,
// which message.DeliveryFrom(ctx) has. A body that cannot be decoded, as may happen after a
// release, leaves its transaction open, and the broker gives it up in the end: a check that
// needs a key only is better made by NewKind.
func NewKindOf[T any](name, topic string, check func(ctx context.Context, v T) error, opts ...KindOption) *Kind {
	k, o := newKind(name, topic, opts)
	typ, c := reflect.TypeFor[T](), o.codec
	switch {
	case o.coded && c == nil:
		k.mistake("CheckAs(nil): name a codec, or leave the option out for the type's own")
	case typ == reflect.TypeFor[*message.Delivery]():
		k.mistake("its check takes the message itself; use NewKind")
	}
	if c == nil {
		c = codec.For(typ)
	}
	if err := c.Check(typ); err != nil {
		k.mistake("codec %s: %w", c.Name(), err)
	}
	if check == nil {
		return k
	}
	k.check = func(ctx context.Context, d *message.Delivery) error {
		var v T
		if err := codec.Decode(c, d, &v); err != nil {
			return fmt.Errorf("transaction kind %q: %d bytes as %s by codec %s: %w; the message stays open until a process answers that can read it", name, len(d.Body), typ, c.Name(), err)
		}
		return check(ctx, v)
	}
	return k
}

func newKind(name, topic string, opts []KindOption) (*Kind, kindOptions) {
	k := &Kind{name: name}
	var o kindOptions
	for _, opt := range opts {
		if opt == nil {
			k.mistake("an option is nil; remove it")
			continue
		}
		opt(&o)
	}
	var err error
	if k.topic, err = setting.Expand(topic, o.lookup); err != nil {
		k.mistake("topic: %w", err)
	} else if err := message.CheckTopic(k.topic); err != nil {
		k.mistake("%w", err)
	}
	return k, o
}

func (k *Kind) mistake(format string, args ...any) {
	k.mistakes = append(k.mistakes, fmt.Errorf("transaction kind %q: "+format, append([]any{k.name}, args...)...))
}

// Topic is the topic of its messages, with its placeholders resolved.
func (k *Kind) Topic() string { return k.topic }

func (k *Kind) validate() error {
	if k == nil {
		return errors.New("a transaction kind is nil; remove it")
	}
	errs := k.mistakes[:len(k.mistakes):len(k.mistakes)]
	if k.name == "" {
		errs = append(errs, fmt.Errorf("a transaction kind of topic %q has no name, by which its half messages find their check; give it one", k.topic))
	} else if err := message.CheckProperty(PropertyKind, k.name); err != nil {
		errs = append(errs, fmt.Errorf("transaction kind %q: %w", k.name, err))
	}
	if k.check == nil {
		errs = append(errs, fmt.Errorf("transaction kind %q has no check, without which nobody can say how an interrupted transaction ended; pass one", k.name))
	}
	return errors.Join(errs...)
}
