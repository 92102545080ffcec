package native_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/message"
)

// The native driver is the one that a client has unless it is told otherwise. With
// another one linked, the configuration chooses (driver: native).
func ExampleFactory() {
	client, err := rocketkit.Open(context.Background(), rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}},
		rocketkit.WithDriver(native.Name, native.Factory))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.Close())
	// Output: <nil>
}

// queues are those of a topic on some brokers.
func queues(each int, brokers ...string) []message.Queue {
	var all []message.Queue
	for _, b := range brokers {
		for i := range each {
			all = append(all, message.Queue{Topic: "orders", Broker: b, ID: i})
		}
	}
	return all
}

// show prints each member's share.
func show(s driver.AllocateStrategy, queues []message.Queue, members ...string) {
	for _, m := range members {
		var share []string
		for _, q := range s.Allocate("pay_consumer_group", m, queues, members) {
			share = append(share, fmt.Sprint(q.Broker, "/", q.ID))
		}
		fmt.Printf("%s: %s\n", m, strings.Join(share, " "))
	}
}

// A group is told its strategy, which all its members must share.
func ExampleAveragely() {
	_ = consumer.NewMux("pay_consumer_group", consumer.Allocate(native.Averagely())) // the default
	show(native.Averagely(), queues(5, "a"), "m1", "m2")
	// Output:
	// m1: a/0 a/1 a/2
	// m2: a/3 a/4
}

func ExampleAveragelyByCircle() {
	show(native.AveragelyByCircle(), queues(5, "a"), "m1", "m2")
	// Output:
	// m1: a/0 a/2 a/4
	// m2: a/1 a/3
}

// Of two members the third takes from both, and they keep the rest.
func ExampleConsistentHash() {
	s := native.ConsistentHash(10)
	before := s.Allocate("pay_consumer_group", "m1", queues(8, "a"), []string{"m1", "m2"})
	after := s.Allocate("pay_consumer_group", "m1", queues(8, "a"), []string{"m1", "m2", "m3"})
	for _, q := range after {
		kept := false
		for _, had := range before {
			kept = kept || q == had
		}
		if !kept {
			fmt.Println("moved to m1:", q.ID)
		}
	}
	fmt.Println(len(after) <= len(before))
	// Output: true
}

// The member is given its queues by hand.
func ExampleByConfig() {
	show(native.ByConfig(message.Queue{Topic: "orders", Broker: "a", ID: 3}), queues(5, "a"), "m1")
	// Output: m1: a/3
}

// Only brokers of the room are consumed: their names begin with it.
func ExampleByMachineRoom() {
	show(native.ByMachineRoom("east"), queues(2, "east@a", "west@b"), "m1", "m2")
	// Output:
	// m1: east@a/0
	// m2: east@a/1
}

// Members take the queues of their own room, and those of rooms where nobody is.
func ExampleNearbyMachineRoom() {
	broker := func(name string) string { room, _, _ := strings.Cut(name, "@"); return room }
	client := func(id string) string { // it begins with the client's address
		if strings.HasPrefix(id, "10.1.") {
			return "east"
		}
		return "west"
	}
	s := native.NearbyMachineRoom(native.Averagely(), broker, client)
	show(s, queues(2, "east@a", "north@c", "west@b"), "10.1.0.7@1", "10.2.0.7@1")
	// Output:
	// 10.1.0.7@1: east@a/0 east@a/1 north@c/0
	// 10.2.0.7@1: west@b/0 west@b/1 north@c/1
}
