package driver

import "github.com/rocketkit/rocketkit/message"

// Identified is a Driver that is one client to the brokers.
type Identified interface {
	Driver
	// ClientID is how brokers name the client.
	ClientID() string
}

// Lagging is a Subscription that knows how far behind it is, without asking.
type Lagging interface {
	Subscription
	// Lag is how many messages each queue of this member's has that are not settled, those
	// that were not pulled yet included: by the end of the queue as the last pull told it,
	// which lags itself while no pull is made, because enough messages are at work. A queue
	// that was not pulled yet is not among them.
	Lag() map[message.Queue]int64
}
