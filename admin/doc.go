// Package admin asks name servers and brokers about a cluster and changes it:
// topics, groups, offsets, messages, connections, brokers and their configuration.
// It goes straight over the wire, whatever driver sends and receives.
//
//	a, err := client.Admin() // of a *rocketkit.Client, and closed with it
//	err = a.CreateTopic(ctx, admin.Topic{Name: "orders", ReadQueues: 8, WriteQueues: 8})
//
// A refusal is a *message.BrokerError that names the broker, RocketMQ's code and
// the remedy; a topic that no name server knows is a message.ErrNoRoute; a broker
// whose advertised address does not work is a *message.AddrError.
//
// Brokers of a cluster are changed one after the other, sorted by name. An error
// on the way leaves those before it changed: every change may be made again.
package admin
