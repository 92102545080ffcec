package driver

import (
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// ServerState is what a driver knows of a server without asking it.
type ServerState struct {
	// Broker is its name, "" for the name servers, which are one.
	Broker string
	Addr   string
	// Err is why it could not be reached when it was tried last, nil when it could.
	Err error
	// At is when that was; zero when nothing has been tried yet.
	At time.Time
}

// Reporting is a Driver that knows which servers answer.
type Reporting interface {
	Driver
	// Servers are the name servers, and the brokers of the topics in use.
	Servers() []ServerState
}

// Sharing is a Subscription that knows what it has.
type Sharing interface {
	Subscription
	// Assigned are the queues that are this member's, and why the queues of a topic could
	// not be shared out lately, or a *message.SubscriptionsDifferError when the group's
	// members have had different subscriptions for minutes; nil when all is well.
	Assigned() ([]message.Queue, error)
}
