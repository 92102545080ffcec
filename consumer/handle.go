package consumer

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/internal/setting"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// Func handles one message. nil acknowledges it; an error is retried as the
// handler's policy says, see package retry. message.DeliveryFrom(ctx) has the
// message's metadata. ctx ends when the consume time-out is over or when the
// message's queue moved to another member of the group; what is returned after
// that last does not count.
//
// T decides the codec unless one is named: a string or byte slice takes the body
// as it is, anything else takes JSON; *message.Delivery takes the message itself,
// undecoded. A value that shares the message's memory must not be changed.
type Func[T any] func(ctx context.Context, v T) error

// Handle registers h for a topic.
func Handle[T any](m *Mux, topic string, h Func[T], opts ...HandlerOption) {
	m.registrations = append(m.registrations, newRegistration(topic, h, opts))
}

// HandleRaw registers a handler that takes messages undecoded.
func HandleRaw(m *Mux, topic string, h func(ctx context.Context, d *message.Delivery) error, opts ...HandlerOption) {
	Handle(m, topic, Func[*message.Delivery](h), opts...)
}

// HandleDLQ registers a handler for the group's dead letters: the messages that
// failed for the last time. It consumes the topic %DLQ%<group> in a group of its
// own, <group>_dlq, which starts and ends with the consumer and begins with the
// first dead letter that is still stored.
//
// It never dead-letters. A failure, even a permanent one, is tried again after
// 10 s and then every 10 minutes without end; retry.After sets another delay,
// and retry.Skip acknowledges. d.OriginTopic is where the message was first sent.
//
// A mux with a HandleDLQ alone is a consumer of dead letters only.
func HandleDLQ(m *Mux, h func(ctx context.Context, d *message.Delivery) error, opts ...HandlerOption) {
	r := newRegistration(message.DLQTopic(m.group), Func[*message.Delivery](h), opts)
	r.dlq = true
	m.registrations = append(m.registrations, r)
}

// Listener is a registration as a plain value, which can be built anywhere,
// collected in a slice of Registration and given to Mux.Add. The zero value of
// every field but Topic and Handle, or HandleBatch, is the default. Its strings may have
// placeholders, see Placeholders.
type Listener[T any] struct {
	Name        string          // see Name
	Topic       string          // what to subscribe to
	Tags        string          // such as "paid || refunded", see Tags
	SQL         string          // instead of tags, see SQL
	Concurrency int             // see Concurrency
	Retry       retry.Policy    // see Retry
	Codec       codec.Codec     // see Codec
	Timeout     time.Duration   // see Timeout
	BatchSize   int             // see BatchSize
	BatchWait   time.Duration   // see BatchWait
	Options     []HandlerOption // further ones, such as MaxRetries, RateLimit and Setting
	Handle      Func[T]
	HandleBatch BatchFunc[T] // instead of Handle
}

// Registration is a Listener of any type, or DeadLetters.
type Registration interface{ register(*Mux) }

func (l Listener[T]) register(m *Mux) {
	r := newRegistration(l.Topic, l.Handle, append(l.options(), l.Options...))
	switch {
	case l.Handle != nil && l.HandleBatch != nil:
		label := fmt.Sprintf("handler of topic %q", l.Topic)
		if l.Name != "" {
			label = fmt.Sprintf("handler %q of topic %q", l.Name, l.Topic)
		}
		m.mistakes = append(m.mistakes, fmt.Errorf("%s: it has Handle and HandleBatch; a message goes to one of them", label))
		return
	case l.HandleBatch != nil:
		takesBatches(r, l.HandleBatch)
	}
	r.expand = true
	m.registrations = append(m.registrations, r)
}

// options are those of the fields that say something.
func (l Listener[T]) options() []HandlerOption {
	opts := named(l.Name, l.Concurrency)
	if l.Tags != "" {
		opts = append(opts, Setting(setting.Tags, l.Tags))
	}
	if l.SQL != "" {
		opts = append(opts, Setting(setting.SQL, l.SQL))
	}
	if !l.Retry.IsZero() {
		opts = append(opts, Retry(l.Retry))
	}
	if l.Codec != nil {
		opts = append(opts, Codec(l.Codec))
	}
	if l.Timeout != 0 {
		opts = append(opts, Timeout(l.Timeout))
	}
	if l.BatchSize != 0 {
		opts = append(opts, BatchSize(l.BatchSize))
	}
	if l.BatchWait != 0 {
		opts = append(opts, BatchWait(l.BatchWait))
	}
	return opts
}

// registration is one handler as it was registered, before anything is checked.
type registration struct {
	topic    string
	expand   bool // the topic may have placeholders
	opts     []HandlerOption
	typ      reflect.Type
	dlq      bool
	isNil    bool
	fn       uintptr // the function's code; nil's is 0
	newTyped func(group, name string, c codec.Codec, mw []Middleware) runner
	newBatch func(group, name string, c codec.Codec) batchRunner // instead of newTyped, for batches
}

func newRegistration[T any](topic string, h Func[T], opts []HandlerOption) *registration {
	return &registration{
		topic: topic,
		opts:  opts,
		typ:   reflect.TypeFor[T](),
		isNil: h == nil,
		fn:    reflect.ValueOf(h).Pointer(),
		newTyped: func(group, name string, c codec.Codec, mw []Middleware) runner {
			return newTypedRunner(group, name, h, c, mw)
		},
	}
}

// raw reports that the handler takes deliveries and needs no codec.
func (r *registration) raw() bool { return r.typ == reflect.TypeFor[*message.Delivery]() }
