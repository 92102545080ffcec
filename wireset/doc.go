// Package wireset has provider sets for google/wire: the client, a producer, and the
// consumers of an application, from a configuration and the application's handlers.
//
//	func inject(ctx context.Context, cfg rocketkit.Config, log *slog.Logger) (*app, func(), error) {
//		panic(wire.Build(wireset.Set, pay.RocketMQSet, pay.NewService, options, muxes, newApp))
//	}
//
//	func options() []rocketkit.Option            { return nil }
//	func muxes(l pay.ServiceListeners) []*consumer.Mux { … mux.Add(l...) … }
//
// RocketMQSet is what "rocketkit generate" writes for a package with annotated handlers.
// Nothing else in this module needs wire; without it the functions here are three lines
// of Open, NewProducer and NewConsumer.
package wireset
