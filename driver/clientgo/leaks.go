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
		// 30 s: a pull that was parked in the broker, whose connection is closed.
		root + "consumer.(*pushConsumer).pullMessage",
		// consumeTimeout from a subscription's start.
		root + "consumer.(*pushConsumer).Start.func1.2",
		// Five each for a subscription, until the next full minute, hour and month.
		root + "consumer.(*statsItemSet).init.func4",
		root + "consumer.(*statsItemSet).init.func5",
		root + "consumer.(*statsItemSet).init.func6",
	}
}
