// Package txn sends transactional messages: a message that consumers see only
// if a local transaction, such as a database's, succeeds.
//
// The message is stored as a half message first, then the local transaction
// runs, then the broker is told what was decided. If it never hears, because the
// process or the connection died, it asks some producer of the group: the check
// of the message's kind answers. A check must find out from the application's
// own data how the local transaction ended.
//
//	paid := txn.NewKind("order-paid", "orders", func(ctx context.Context, d *message.Delivery) error {
//		switch status, err := store.OrderStatus(ctx, d.Keys()[0]); {
//		case err != nil:
//			return err // not known: the broker asks again
//		case status != "paid":
//			return txn.Abort(nil)
//		}
//		return nil // commit
//	})
//	p, err := client.NewProducer("pay_group", txn.Kinds(paid))
//	res, err := paid.Send(ctx, p, msg, func(ctx context.Context, half message.SendResult) error {
//		return store.MarkPaid(ctx, order)
//	})
//
// NewKindOf makes a kind whose check gets the decoded value instead, and Placeholders has
// the topic from the configuration.
//
// Only Abort rolls back, locally and in a check. Any other error leaves the
// transaction open, since it may have happened after all, and the broker asks.
//
// # Behind a proxy
//
// The remoting port of RocketMQ 5.4.0's proxy loses what was decided: the broker does
// not hear of it, and asks after its transactionTimeOut. The check decides every
// transaction there, which is late by that much, and must come to what the local
// transaction has decided: one that answers with an error until it knows is right there
// too, one that takes a row that is not there yet for a roll-back is not.
package txn
