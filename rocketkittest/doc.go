// Package rocketkittest tests programs that use rocketkit, against broker-lite: the real
// client, wire format and server, in the test's process.
//
//	func TestAPaidOrderIsBooked(t *testing.T) {
//		t.Parallel()
//		mq := rocketkittest.Start(t) // ends with the test
//		mux := newMux()              // the handlers to be tested
//		handlers := rocketkittest.Record(mux)
//		mq.Consume(t, mux)
//
//		mq.Send(t, message.New("orders", []byte(`{"id":"4711"}`), message.Tag("paid")))
//		handlers.Consumed().Eventually(t, rocketkittest.Want{Tag: "paid"})
//		mq.SentTo("bookings").Exactly(t, rocketkittest.Want{Key: "4711"})
//		mq.DeadLetters("shop").Exactly(t) // none
//	}
//
// An application that opens its own client is given Server.NameServers, and Server.Dial by
// rocketkit.WithDial in a bubble.
//
// # Time
//
// Server.Advance moves the server's clock, by which delays, retries, timers and transaction
// checks go. In a testing/synctest bubble that is the bubble's time, for the client as for
// the server, and exact. Outside of one the server's clock stands still between calls of
// Advance, and what is to be due has to be at the server before.
//
// # Who owns what
//
// A Server belongs to the test that it was started with, and so do the clients and consumers
// made with it; they end in reverse order. Assertions take the test that they are made in,
// which may be a subtest, and report at the caller's line with what there was instead.
//
// docs/testing.md is the guide. Programs do not link this package; their tests do.
package rocketkittest
