// Package wireset has provider sets for google/wire: the client, a producer, and the
// consumers of an application, from a configuration and the application's handlers.
//
//	func inject(ctx context.Context, cfg rocketkit.Config, log *slog.Logger) (*app, func(), error) {
//		panic(wire.Build(wireset.Set, pay.RocketMQSet, pay.NewService, clientOptions, groupOptions, muxes, newApp))
//	}
//
//	func clientOptions() []rocketkit.Option            { return nil }
//	func groupOptions() []consumer.GroupOption         { return nil } // of all consumers
//	func muxes(l pay.ServiceListeners) []*consumer.Mux { … mux.Add(l...) … }
//
// RocketMQSet is what "rocketkit generate" writes for a package with annotated handlers and
// a line //rocketmq:wire. Where it has transactions, the producer that sends them comes from
// there: take wireset.Client and wireset.Consumer instead of wireset.Set, and a provider of
// your own,
//
//	func newProducer(t *pay.ChecksTransactions, c *rocketkit.Client) (*producer.Producer, error) { return t.NewProducer(c) }
//	func kindOptions() []txn.KindOption { return nil } // or txn.Placeholders
//
// Nothing else in this module needs wire; without it the functions here are three lines
// of Open, NewProducer and NewConsumer.
package wireset
