// Package health answers the probes of whoever runs a program, such as Kubernetes, by
// what its clients, producers and consumers know of themselves: no probe makes a request
// to a server.
//
//	checks := health.New(client)
//	mux.Handle("/livez", checks.Live())
//	mux.Handle("/readyz", checks.Ready())
//	err := rocketkit.Run(ctx, client, consumer, rocketkit.HTTP(l, &http.Server{Handler: mux}), checks)
//
// As the last Runner it is ready when everything before it has started, and not ready
// any more before the first of them is drained.
//
// Live fails when only a new start of the process helps: every call that a handler may
// have at once has passed its consume time-out. Ready fails when the program cannot do
// its work now:
//
//   - the client is closing, or no name server answered when one was asked last;
//   - none of the brokers of its topics can be reached;
//   - the circuits of all brokers of a producer are open, or it has ended;
//   - a consumer or fetcher was not started or has ended, or could not share out its queues;
//   - what Live fails by.
//
// One broker of several that is down, a handler that is paused, other members of a group
// that have had different subscriptions for five minutes, and a Puller or SimpleConsumer
// whose last request failed, are in the report and fail nothing: its next request comes
// when the program asks for messages.
package health
