package driver

import "github.com/rocketkit/rocketkit/message"

// Requester is a Sender whose messages can be answered.
type Requester interface {
	Sender
	// ReplyTo is what a request carries in ReplyToProperty, for its reply to be handed
	// to this client.
	ReplyTo() string
	// AwaitReply returns where the reply to a request will come, by the request's
	// CorrelationProperty. forget must be called when it is not waited for any more.
	AwaitReply(correlationID string) (reply <-chan *message.Delivery, forget func())
}

// Properties of requests and their replies (MessageConst). A message with
// TypeProperty ReplyType is a reply: its broker hands it to the client that it names.
const (
	CorrelationProperty = "CORRELATION_ID"
	ReplyToProperty     = "REPLY_TO_CLIENT"
	TTLProperty         = "TTL" // how long the requester waits, in ms
	TypeProperty        = "MSG_TYPE"
	ReplyType           = "reply"
)
