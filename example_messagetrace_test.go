package rocketkit_test

import (
	"context"
	"fmt"
	"log"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

// What a client has sent is looked up as with mqadmin queryMsgTraceById.
func ExampleWithMessageTrace() {
	ctx := context.Background()
	broker, err := brokerlite.Start(ctx, brokerlite.InMemory(), brokerlite.Conf("traceTopicEnable=true"))
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(ctx)
	cfg := rocketkit.Config{NameServers: []string{broker.NameServer()}}

	client, err := rocketkit.Open(ctx, cfg, rocketkit.WithMessageTrace(""))
	if err != nil {
		log.Fatal(err)
	}
	p, err := client.NewProducer("shop")
	if err != nil {
		log.Fatal(err)
	}
	sent, err := p.Send(ctx, message.New("orders", []byte("paid"), message.Key("order-7")))
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Close(); err != nil { // and so send the trace
		log.Fatal(err)
	}

	a, err := admin.New(admin.Config{NameServers: cfg.NameServers})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close(ctx)
	events, err := a.Trace(ctx, sent.MessageID, admin.Between{}, "")
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range events {
		fmt.Println(e.Type, e.Group, e.Topic, e.Keys, e.MessageType, e.Success)
	}
	// Output: Pub shop orders order-7 Normal_Msg true
}
