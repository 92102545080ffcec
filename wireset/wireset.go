package wireset

import (
	"context"
	"errors"
	"log/slog"

	"github.com/google/wire"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/producer"
)

// Set has all of the others.
var Set = wire.NewSet(Client, Producer, Consumer)

// Client provides a *rocketkit.Client. It needs a context.Context, a rocketkit.Config, a
// *slog.Logger and []rocketkit.Option.
var Client = wire.NewSet(NewClient)

// Producer provides the *producer.Producer of the configured group, from the client. An
// application with several makes them itself: wire tells what it provides by type.
var Producer = wire.NewSet(NewProducer)

// Consumer provides Consumers, from the client, []*consumer.Mux and
// []consumer.GroupOption.
var Consumer = wire.NewSet(NewConsumers)

// NewClient opens a client that logs to log, unless an option says otherwise. The
// returned function closes it, where nobody has drained it before.
func NewClient(ctx context.Context, cfg rocketkit.Config, log *slog.Logger, opts ...rocketkit.Option) (*rocketkit.Client, func(), error) {
	client, err := rocketkit.Open(ctx, cfg, append([]rocketkit.Option{rocketkit.WithLogger(log)}, opts...)...)
	if err != nil {
		return nil, nil, err
	}
	return client, func() {
		if err := client.Close(); err != nil && log != nil {
			log.Error("closing the RocketMQ client", "error", err)
		}
	}, nil
}

// NewProducer makes the producer of the configured group.
func NewProducer(client *rocketkit.Client) (*producer.Producer, error) { return client.NewProducer("") }

// Consumers are the consumers of an application. They are a rocketkit.Runner.
type Consumers []*consumer.Consumer

// NewConsumers makes a consumer of each mux, with the same options. They end with the
// client.
func NewConsumers(client *rocketkit.Client, muxes []*consumer.Mux, opts ...consumer.GroupOption) (Consumers, error) {
	var cs Consumers
	var errs []error
	for _, mux := range muxes {
		c, err := client.NewConsumer(mux, opts...)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		cs = append(cs, c)
	}
	return cs, errors.Join(errs...)
}

// Start starts them in their order. When one does not start, those before it go on until
// they are drained.
func (cs Consumers) Start(ctx context.Context) error {
	for _, c := range cs {
		if err := c.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Drain drains them, the last first.
func (cs Consumers) Drain(ctx context.Context) error {
	var errs []error
	for i := range cs {
		errs = append(errs, cs[len(cs)-1-i].Drain(ctx))
	}
	return errors.Join(errs...)
}
