// Package dlq looks at dead letters and sends them back. A message is dead when its
// group has given it up: after the last retry, or because the handler said that trying
// again is of no use. It waits then in the group's dead-letter topic
// (message.DLQTopic), until the broker deletes it with its old messages.
//
//	letters, err := dlq.List(ctx, client)                        // which groups have some
//	for l, err := range dlq.Inspect(ctx, client, "pay_group") {} // each of a group's
//	done, err := dlq.Redrive(ctx, client, "pay_group", dlq.Rate(100))
//
// Works over any driver. To handle dead letters as they come, see
// consumer.HandleDLQ.
//
// Names are those of the wire, but that the group may be named without the client's
// namespace.
//
// # Where dead letters go
//
// Redrive stores them in the group's retry topic: there only this group gets them, as
// messages of their original topic, while the other groups of that topic, which have
// handled them, do not get them twice. ToOrigin sends them to the original topic, for
// all of its groups. It is what groups need that consume in order, since they do
// not read a retry topic; mind that the messages come after later ones of their key,
// and that the broker chooses their queue.
//
// Body, id (UNIQ_KEY), keys, tag, properties and time of birth stay; the count of
// retries starts again.
//
// # At least once
//
// The position of a redrive is the committed offset of a group of its own
// (Position), and is committed after a letter has been stored again. So a redrive that
// was interrupted goes on where it was, and the next one takes only what has died since;
// after a crash some letters go a second time, with the same id. Two redrives of one
// group at once send letters twice. Dead letters are not deleted: RocketMQ has no
// deletion of single messages.
package dlq
