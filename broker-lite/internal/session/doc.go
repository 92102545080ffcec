// Package session knows the clients that are connected: which connection is a
// member of which producer or consumer group, and what the consumer groups
// subscribe to. Clients say so in heartbeats (code 34), every 30 s.
//
// A member is gone when it unregisters (35), when its connection closes, or
// when it has been silent for 120 s. What changes is returned to the caller as
// Changes: whom the broker has to tell (code 40) that they must rebalance. What
// expires has no caller and goes to Options.OnExpire.
//
// A subscription by an SQL92 expression is compiled when it comes, once for a
// group, topic and expression, and kept with it. What one connection may bring is
// bounded in bytes, and so is what all groups keep.
//
// One mutex guards everything; neither I/O, a line of log, nor a compilation happens
// under it.
//
// It differs from Apache's ConsumerManager and ProducerManager where these have
// faults: a client that is connected twice is listed once; the members that
// stay are told when one expires; a client with several groups keeps its
// connection when only one of them expires; and a heartbeat without
// subscriptions to a broker that has none (it was restarted) is answered with
// IS_SUB_CHANGE, so that the next one brings them.
package session
