// Package brokerlite is a RocketMQ server in one process: a name server and a
// broker that speak the real wire protocol, to Apache's clients and tools as well
// as to rocketkit's. It starts in milliseconds, for tests and laptops:
//
//	b, err := brokerlite.Start(ctx, brokerlite.InMemory())
//	defer b.Close(ctx)
//	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{b.NameServer()}})
//
// Without options it listens on free ports of the loopback interface and keeps its
// messages in a temporary directory, which Close removes. Dir keeps them, Conf
// takes Apache's broker.conf, and Standalone has Apache's defaults for a server of
// its own, as "rocketkit server" runs it.
//
// # Tests
//
// VirtualNetwork and InMemory start it inside a testing/synctest bubble, where
// hours of delays and check-backs pass in an instant:
//
//	synctest.Test(t, func(t *testing.T) {
//		b, err := brokerlite.Start(t.Context(), brokerlite.InMemory(), brokerlite.VirtualNetwork(brokerlite.NewNetwork()))
//		client, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: b.NameServers()}, rocketkit.WithDial(b.Dial))
//		…
//		client.Close(); b.Close(t.Context()) // a bubble waits for every goroutine
//	})
//
// Outside of a bubble WithClock takes a ManualClock, by which delays, timers and
// transaction checks go. Broker.Fault makes the server misbehave.
//
// # Operations
//
// HTTP serves metrics for Prometheus, with the names of Apache's 5.x, and tells
// whether the server is alive and ready; HTTPHandler is the same for a server of
// yours.
//
// WithTLS, RequireTLS and NameServerTLS encrypt connections, and ask clients for
// certificates; the keys of a broker.conf are those of Apache's tls.properties.
// ACLFile checks every request by the rules of a plain_acl.yml. VIPChannel listens
// two ports below the broker's too.
//
// CheckStore, DumpStore and RepairStore are for the store of a server that does not run.
//
// # What it is not
//
// It has no replicas, and is not meant to replace a cluster.
package brokerlite
