// Package consumer runs typed handlers for the messages of a consumer group.
//
//	mux := consumer.NewMux("pay_consumer_group", consumer.From(consumer.Last))
//	consumer.Handle(mux, "pay_test_topic", onPaid, consumer.Tags("tag1 || tag2"), consumer.Concurrency(32))
//	consumer.HandleDLQ(mux, onDead)
//	c, err := client.NewConsumer(mux) // every registration mistake, joined
//	err = rocketkit.Run(ctx, c)       // drains when ctx ends
//
// A Mux collects the handlers of one group: by Handle and HandleRaw, by HandleBatch for
// several messages at once, from Listener values by Mux.Add, which "rocketkit generate"
// writes for functions with a line //rocketmq:listener above them, or from a tagged
// struct by Bind. New checks everything at once and makes the Consumer.
//
// # What happens to a message
//
// The driver delivers the messages of the group's queues to the Consumer, which
// gives each to the handler of its topic and tag. Every handler has workers of
// its own, as many as its concurrency, so a slow handler does not hold up the
// others; what waits is bounded by MaxUnsettled for each queue. No goroutine and
// no timer is made for a message.
//
// A worker takes a message through fixed stages, from the outside to the inside:
//
//	rate limit   Pause, RateLimit, KillSwitch: before a handler's time begins
//	time-out     the consume time-out is the deadline of all that follows, retries included
//	span         "process <topic>" and RocketMQ's message trace, where they are wanted
//	duplicates   what the group has handled is acknowledged, see Deduplicate
//	retry        immediate retries of the retry.Policy begin again here
//	recovery     a panic is an error with its stack, see PanicError
//	decoding     a failure is permanent, see DecodeError
//	middleware   Mux.Use, the first is the outermost
//	handler
//
// Only middleware has places to choose. By the handler's error and the policy the handler
// is called again at once, or the message is acknowledged, delivered again later or sent
// to the group's dead-letter queue. Each failure is logged with topic,
// group, handler, message id, attempt, error and what happens next, to the logger
// that the client was given (rocketkit.WithLogger; there is none by default). Only nil and
// retry.Skip acknowledge; a message whose handler has no outcome, because it ended
// its goroutine, is delivered again.
//
// In an ordered group (Ordered, OrderedBy) a message is with a handler only when the one
// before it in its queue, or of its key, is done, and one that fails keeps its place.
//
// # Delivery is at least once
//
// A message arrives again when the process ends without Drain, when its queue
// moves to another member while its handler runs (the handler's ctx ends then, and
// what it returns does not count), when an acknowledgement is lost, and when the
// producer sent it twice. Its Delivery.ID stays the same.
//
// # Several handlers in a group
//
// RocketMQ knows one subscription for a group and topic, the same in every member:
// driver/native compares with what the brokers know of the others, warns when that
// differs, as in a rolling deploy, and after five minutes logs errors and says so in
// State.Trouble (message.ErrSubscriptionsDiffer).
// Handlers share a topic by disjoint tags; their tags are merged into one
// expression and dispatched here. A message that no handler takes, because the
// program that would have is gone, goes to the dead-letter queue and is logged.
// Messages of tags that nobody subscribes to do not get here: the driver filters
// them exactly.
//
// # Without handlers
//
// A Fetcher is a member of a group whose program asks for messages, a SimpleConsumer
// asks a broker for each (POP), and a Puller reads the queues that it is told to, from
// where it is told.
package consumer
