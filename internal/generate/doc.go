// Package generate writes Go for the directives above handlers; it is what
// "rocketkit generate" does.
//
//	//rocketmq:listener topic=pay_test_topic tags="tag1 || tag2" concurrency=32
//	func (s *Service) OnPaid(ctx context.Context, p Payment) error
//
//	//rocketmq:dlq
//	func (s *Service) OnDead(ctx context.Context, d *message.Delivery) error
//
//	//rocketmq:transaction topic=orders group=pay_group name=order-paid
//	func (s *Service) CheckPaid(ctx context.Context, d *message.Delivery) error
//
//	//rocketmq:wire
//
// The keys of listeners and dead letters are those of consumer.Bind's tags. The topics of
// transactions may have placeholders, too; their constructor takes txn.Placeholders then,
// and google/wire wants a []txn.KindOption. A check takes the message or its value.
//
// A package gets one file, rocketmq_gen.go, with a constructor of consumer.Listener values
// for each type that has such methods, one for the package's functions, one for each
// type's kinds of transactions, and, where it asks by //rocketmq:wire, their provider set.
//
// The file is left out when a package is read, since what it declares follows from the
// rest: a package that does not compile without it, or because of it, is read as well.
// Function bodies are not read. The other packages' types come from the Go command's
// export data, so what is imported has to compile.
package generate
