package main

import (
	"context"
	"fmt"
)

// client is what a row drives: a thin layer over one of the two clients, used as
// its documentation shows.
type client interface {
	// Sync sends one message and waits for the answer.
	Sync(ctx context.Context, topic string, body []byte) error
	// Async sends one message; done is called with its outcome, once.
	Async(ctx context.Context, topic string, body []byte, done func(error))
	// Oneway sends one message without an answer.
	Oneway(ctx context.Context, topic string, body []byte) error
	// Batch sends n messages as one batch.
	Batch(ctx context.Context, topic string, body []byte, n int) error
	// Consume begins to consume a topic from its first message.
	Consume(ctx context.Context, group, topic string, handle func(string)) error
	// Close ends everything.
	Close(ctx context.Context) error
}

func newClient(ctx context.Context, name, nameServer string) (client, error) {
	switch name {
	case nativeName:
		return newNative(ctx, nameServer)
	case clientGoName:
		return newClientGo(nameServer)
	}
	return nil, fmt.Errorf("no client %q", name)
}
