package driver

import (
	"context"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Popper is a Driver that pops messages, which brokers know from 5.0 on: the broker
// hands a message to one of those who ask, and hides it from the others for a while.
// Older brokers make its methods fail with message.ErrUnsupported.
type Popper interface {
	Driver
	// PopBrokers are the names of the brokers that have the topic, sorted.
	PopBrokers(ctx context.Context, topic string) ([]string, error)
	// Pop makes one request; none and nil say that there was nothing. Each message has
	// a Claim.
	Pop(ctx context.Context, r PopRequest) ([]*message.Delivery, error)
	// AckPopped says that a message is done.
	AckPopped(ctx context.Context, d *message.Delivery) error
	// ExtendPopped hides a message for that long from now on, and renews its Claim.
	ExtendPopped(ctx context.Context, d *message.Delivery, invisible time.Duration) error
	// DeadLetterPopped moves a message to the group's dead letters.
	DeadLetterPopped(ctx context.Context, d *message.Delivery) error
}

// PopRequest asks one broker for messages of a topic.
type PopRequest struct {
	Group  string
	Filter TopicFilter
	Broker string
	From   From
	// Max is the most messages to get, 1 to 32.
	Max int
	// Invisible is how long others do not get them.
	Invisible time.Duration
	// Wait is how long the broker may hold the request when there is nothing; 0 has
	// it answer at once.
	Wait time.Duration
}
