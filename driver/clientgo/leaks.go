package clientgo

// LeakedFunctions names the functions of rocketmq-client-go v2.1.2 whose
// goroutines outlive Driver.Close, for goleak.IgnoreAnyFunction:
//
//	for _, f := range clientgo.LeakedFunctions() {
//		opts = append(opts, goleak.IgnoreAnyFunction(f))
//	}
//
// They sleep before they look whether they should end, so that a program which
// opens and closes many subscriptions gathers them.
func LeakedFunctions() []string {
	const root = "github.com/apache/rocketmq-client-go/v2/"
	return []string{
		// One for the process, from its start: the table of open requests.
		"github.com/patrickmn/go-cache.(*janitor).Run",
		// 10 s from a client's start: the name servers' addresses, the offsets.
		root + "internal.(*rmqClient).Start.func1.1",
		root + "internal.(*rmqClient).Start.func1.4",
		// 1 s from a client's start: the heartbeat.
		root + "internal.(*rmqClient).Start.func1.3",
		// 120 s from the last answer: the connection to a name server.
		root + "internal/remote.(*remotingClient).receiveResponse",
		// Requests that were under way, which do not notice that their connection is
		// closed: 3 s, a pull 30 s. Pulls and send-backs that rest before the next.
		root + "internal/remote.(*ResponseFuture).waitResponse",
		root + "consumer.(*pushConsumer).pullMessage",
		root + "consumer.(*pushConsumer).consumeMessageConcurrently.func1",
		// Balances that wait for one of those.
		root + "internal.(*rmqClient).RebalanceImmediately",
		root + "internal.(*rmqClient).RebalanceIfNotPaused",
		// consumeTimeout from a subscription's start.
		root + "consumer.(*pushConsumer).Start.func1.2",
		// Five each for a subscription, until the next full minute, hour and month.
		root + "consumer.(*statsItemSet).init.func4",
		root + "consumer.(*statsItemSet).init.func5",
		root + "consumer.(*statsItemSet).init.func6",
	}
}
