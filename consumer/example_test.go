package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// play stands for a client and its servers: it makes the consumer, delivers the
// messages one after the other, and ends it.
func play(mux *consumer.Mux, ds ...*message.Delivery) {
	drv := newScripted()
	c, err := consumer.New(drv, mux) // client.NewConsumer(mux)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := c.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	q := drv.subs[0].assign()
	for i, d := range ds {
		q.deliver(d)
		q.await(i + 1)
	}
	if err := c.Drain(ctx); err != nil {
		fmt.Println(err)
	}
}

func Example() {
	type Payment struct {
		Order  string `json:"order"`
		Amount int    `json:"amount"`
	}
	onPaid := func(_ context.Context, p Payment) error {
		if p.Amount <= 0 {
			return retry.Permanent(fmt.Errorf("order %s: amount %d", p.Order, p.Amount))
		}
		fmt.Println("paid:", p.Order, p.Amount)
		return nil
	}

	mux := consumer.NewMux("pay_consumer_group", consumer.From(consumer.Last), consumer.Concurrency(32))
	consumer.Handle(mux, "payments", onPaid, consumer.Tags("card || transfer"), consumer.Retry(retry.Levels(16)))
	consumer.Handle(mux, "notes", func(_ context.Context, text string) error {
		fmt.Println("note:", text)
		return nil
	})

	play(mux,
		&message.Delivery{ID: "1", Topic: "payments", Tag: "card", Body: []byte(`{"order":"o-1","amount":3}`)},
		&message.Delivery{ID: "2", Topic: "notes", Body: []byte("Hello rocketmq")},
	)
	// Output:
	// paid: o-1 3
	// note: Hello rocketmq
}

func ExampleHandle() {
	mux := consumer.NewMux("pay_consumer_group")
	consumer.Handle(mux, "pay_test_topic", func(ctx context.Context, text string) error {
		d := message.DeliveryFrom(ctx)
		fmt.Printf("topic=%s, tags=%s, msg=%s\n", d.Topic, d.Tag, text)
		return nil
	}, consumer.Tags("tag1"), consumer.Name("paid"), consumer.Timeout(time.Minute))

	play(mux, &message.Delivery{ID: "1", Topic: "pay_test_topic", Tag: "tag1", Body: []byte("Hello rocketmq")})
	// Output: topic=pay_test_topic, tags=tag1, msg=Hello rocketmq
}

func ExampleHandleRaw() {
	mux := consumer.NewMux("audit_group")
	consumer.HandleRaw(mux, "payments", func(_ context.Context, d *message.Delivery) error {
		fmt.Println(d.ID, len(d.Body), "bytes")
		return nil
	})

	play(mux, &message.Delivery{ID: "1", Topic: "payments", Body: []byte("anything")})
	// Output: 1 8 bytes
}

func ExampleHandleDLQ() {
	mux := consumer.NewMux("pay_consumer_group")
	consumer.HandleDLQ(mux, func(_ context.Context, d *message.Delivery) error {
		fmt.Println("dead:", d.ID, "failed", d.ReconsumeTimes, "times")
		return nil
	})

	play(mux, &message.Delivery{ID: "1", Topic: "%DLQ%pay_consumer_group", ReconsumeTimes: 17, Body: []byte("x")})
	// Output: dead: 1 failed 17 times
}

func ExampleListener() {
	listeners := []consumer.Registration{ // collected anywhere, by hand or by wire
		consumer.Listener[string]{Topic: "payments", Tags: "card", Concurrency: 8, Handle: func(_ context.Context, s string) error {
			fmt.Println("card:", s)
			return nil
		}},
		consumer.Listener[[]byte]{Topic: "files", Retry: retry.None(), Handle: func(_ context.Context, b []byte) error {
			fmt.Println("file of", len(b), "bytes")
			return nil
		}},
	}
	mux := consumer.NewMux("pay_consumer_group")
	mux.Add(listeners...)

	play(mux,
		&message.Delivery{ID: "1", Topic: "payments", Tag: "card", Body: []byte("o-1")},
		&message.Delivery{ID: "2", Topic: "files", Body: []byte{1, 2, 3}},
	)
	// Output:
	// card: o-1
	// file of 3 bytes
}

// What is given as text may come from the configuration; load.Lookup reads it there.
func ExampleSetting() {
	lookup := func(key string) (string, bool) { return "3", key == "pay.retries" }
	mux := consumer.NewMux("pay_consumer_group", consumer.Placeholders(lookup))
	mux.Add(
		consumer.Listener[string]{
			Topic: "${pay.topic:payments}",
			Options: []consumer.HandlerOption{
				consumer.Setting("retries", "${pay.retries}"), consumer.Setting("kill_switch", "ratio=0.9 pause_for=30s"),
			},
			Handle: func(_ context.Context, s string) error {
				fmt.Println("paid:", s)
				return nil
			},
		},
		consumer.DeadLetters{Handle: func(_ context.Context, d *message.Delivery) error {
			fmt.Println("dead:", d.ID)
			return nil
		}},
	)

	play(mux, &message.Delivery{ID: "1", Topic: "payments", Body: []byte("o-1")})
	// Output: paid: o-1
}

func ExampleBind() {
	type Refund struct {
		Order string `json:"order"`
	}
	type Handlers struct {
		Paid   consumer.Func[string] `topic:"${pay.topic:pay_test_topic}" tags:"tag1 || tag2" concurrency:"32" retries:"16"`
		Refund consumer.Func[Refund] `topic:"refunds" codec:"json" timeout:"1m" name:"refund"`
	}
	mux := consumer.NewMux("pay_consumer_group")
	err := consumer.Bind(mux, &Handlers{
		Paid:   func(_ context.Context, text string) error { fmt.Println("paid:", text); return nil },
		Refund: func(_ context.Context, r Refund) error { fmt.Println("refund:", r.Order); return nil },
	}, consumer.Placeholders(os.LookupEnv))
	if err != nil {
		fmt.Println(err)
		return
	}

	play(mux,
		&message.Delivery{ID: "1", Topic: "pay_test_topic", Tag: "tag2", Body: []byte("o-1")},
		&message.Delivery{ID: "2", Topic: "refunds", Body: []byte(`{"order":"o-2"}`)},
	)
	// Output:
	// paid: o-1
	// refund: o-2
}

func ExampleBind_mistakes() {
	type Handlers struct {
		Paid   consumer.Func[string] `topic:"${pay.topic}" concurency:"32"`
		Refund consumer.Func[string] `topic:"refunds" retries:"many"`
	}
	err := consumer.Bind(consumer.NewMux("pay_consumer_group"), Handlers{Paid: onText, Refund: onText})
	fmt.Println(err)
	// Output:
	// consumer.Bind(consumer_test.Handlers): 3 registration mistakes:
	//   - field Paid: tag concurency is not known; did you mean concurrency?
	//   - field Paid: tag topic: placeholder ${pay.topic} cannot be looked up; pass the option Placeholders, or write ${pay.topic:default}
	//   - field Refund: tag retries is "many"; write a number from 0 (dead-letter the first failure) on
}

func ExampleNew_mistakes() {
	mux := consumer.NewMux("pay_consumer_group")
	consumer.Handle(mux, "payments", onText, consumer.Tags("card || transfer"))
	consumer.Handle(mux, "payments", onPayment, consumer.Tags("card"), consumer.Codec(codec.Text{}))
	_, err := consumer.New(newScripted(), mux)
	fmt.Println(err)
	// Output:
	// consumer group "pay_consumer_group": 2 registration mistakes:
	//   - handler "payments[card]": codec text: type does not fit the codec: text carries a string or []byte, not consumer_test.payment; use JSON for it
	//   - handlers "payments[card || transfer]" and "payments[card]" of topic "payments" both take tag "card"; a message goes to one handler of a group: remove the tag from one, or give one a group of its own
}

func ExampleMux_Use() {
	timing := func(next consumer.Handler) consumer.Handler {
		return func(ctx context.Context, d *message.Delivery) error {
			began := time.Now()
			err := next(ctx, d)
			fmt.Println(d.ID, time.Since(began) < time.Minute, err)
			return err
		}
	}
	mux := consumer.NewMux("pay_consumer_group")
	mux.Use(timing)
	consumer.Handle(mux, "payments", func(context.Context, string) error {
		return retry.Skip(errors.New("order was cancelled"))
	})

	play(mux, &message.Delivery{ID: "1", Topic: "payments", Body: []byte("x")})
	// Output: 1 true order was cancelled
}

func ExampleForHandler() {
	mux := consumer.NewMux("pay_consumer_group")
	consumer.Handle(mux, "payments", onText, consumer.Name("paid"))

	// What a configuration says about handlers comes with New.
	c, err := consumer.New(newScripted(), mux,
		consumer.ForHandler("paid", consumer.Concurrency(64), consumer.Retry(retry.Levels(3))),
		consumer.Logger(slog.Default()))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Group())
	fmt.Println(c.Stop(context.Background()))
	// Output:
	// pay_consumer_group
	// <nil>
}

// The steps of an order are handled one after the other, those of different orders at
// the same time. The producer sends them with message.ShardingKey(order).
func ExampleOrderedBy() {
	mux := consumer.NewMux("order_steps", consumer.OrderedBy((*message.Delivery).ShardingKey), consumer.Suspend(5*time.Second))
	consumer.Handle(mux, "orders", func(_ context.Context, step string) error {
		fmt.Println("step:", step)
		return nil // an error holds up this order, and no other
	}, consumer.Retry(retry.Levels(100)))
	play(mux, msg("1", "orders", "", "created"), msg("2", "orders", "", "paid"))
	// Output:
	// step: created
	// step: paid
}

// One message of a queue at a time: with a topic of a single queue, of the topic.
func ExampleOrdered() {
	mux := consumer.NewMux("ledger", consumer.Ordered())
	consumer.Handle(mux, "ledger_entries", func(_ context.Context, entry string) error {
		fmt.Println("booked:", entry)
		return nil
	})
	play(mux, msg("1", "ledger_entries", "", "+10"))
	// Output: booked: +10
}

// Every process drops what has changed from its cache. Processes on one machine have
// an instance name each, by which they find their offsets again.
func ExampleBroadcast() {
	mux := consumer.NewMux("cache_invalidation", consumer.Broadcast(), consumer.Instance("node-1"),
		consumer.OffsetDir("/var/lib/shop/offsets"), consumer.Retry(retry.None().Immediately(3)))
	consumer.Handle(mux, "changes", func(_ context.Context, key string) error {
		fmt.Println("dropped:", key)
		return nil // an error is tried again 3 times, counted and passed over
	})
	play(mux, msg("1", "changes", "", "user:7"))
	// Output: dropped: user:7
}

func ExampleConsumer_Pause() {
	mux := consumer.NewMux("pay_consumer_group")
	consumer.Handle(mux, "payments", func(_ context.Context, text string) error {
		fmt.Println("paid:", text)
		return nil
	}, consumer.RateLimit(500), consumer.KillSwitch(consumer.KillSwitchSettings{Ratio: 0.5, PauseFor: time.Minute}))
	c, err := consumer.New(newScripted(), mux) // client.NewConsumer(mux)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Pause("payments"); err != nil { // its handler's name, by default the topic's
		fmt.Println(err)
	}
	fmt.Println(c.Paused())
	if err := c.Resume(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(c.Paused())
	if err := c.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// [payments]
	// []
}

// Payments are booked with one insert for up to 100 of them. What the database refuses
// is retried by itself, or given up; the rest is acknowledged.
func ExampleHandleBatch() {
	type Payment struct {
		Order  string `json:"order"`
		Amount int    `json:"amount"`
	}
	insert := func(_ context.Context, ps []Payment) []error { // stands for a database
		errs := make([]error, len(ps))
		for i, p := range ps {
			if p.Amount <= 0 {
				errs[i] = fmt.Errorf("order %s: amount %d", p.Order, p.Amount)
			}
		}
		fmt.Println("inserted", len(ps))
		return errs
	}

	mux := consumer.NewMux("ledger")
	consumer.HandleBatch(mux, "payments", func(ctx context.Context, b *consumer.Batch[Payment]) error {
		for i, err := range insert(ctx, b.Values()) {
			b.Fail(i, retry.Permanent(err)) // without an error it is done
		}
		return nil // an error here, or a panic, fails those that nothing was said of
	}, consumer.BatchSize(100), consumer.BatchWait(50*time.Millisecond), consumer.Concurrency(4))
	consumer.HandleDLQ(mux, func(_ context.Context, d *message.Delivery) error {
		fmt.Println("dead:", d.ID)
		return nil
	})

	play(mux, &message.Delivery{ID: "1", Topic: "payments", Body: []byte(`{"order":"o-1","amount":3}`)})
	// Output: inserted 1
}

func ExampleHandleBatchRaw() {
	mux := consumer.NewMux("audit_group")
	consumer.HandleBatchRaw(mux, "payments", func(_ context.Context, b *consumer.Batch[*message.Delivery]) error {
		for i, d := range b.Values() {
			fmt.Println(i, d.ID, len(d.Body), "bytes")
			b.Done(i)
		}
		return nil
	})

	play(mux, &message.Delivery{ID: "1", Topic: "payments", Body: []byte("anything")})
	// Output: 0 1 8 bytes
}

// One back-off for the group, and fewer retries for what is soon out of date.
func ExampleMaxRetries() {
	backoff := retry.Backoff{Base: 5 * time.Second, Factor: 2, Max: 10 * time.Minute, Jitter: 0.1}
	mux := consumer.NewMux("pay_consumer_group", consumer.Retry(retry.Exponential(20, backoff)))
	consumer.Handle(mux, "payments", func(_ context.Context, text string) error {
		fmt.Println("paid:", text)
		return nil // an error comes again after 5 s, 10 s, 20 s … 10 minutes
	})
	consumer.Handle(mux, "prices", func(_ context.Context, text string) error {
		fmt.Println("price:", text)
		return nil
	}, consumer.MaxRetries(2))

	play(mux, &message.Delivery{ID: "1", Topic: "payments", Body: []byte("o-1")}, &message.Delivery{ID: "2", Topic: "prices", Body: []byte("3.50")})
	// Output:
	// paid: o-1
	// price: 3.50
}

// What the group has handled is passed over when it comes again: here a payment that was
// sent twice, told by its key. A store in SQL or Redis serves all members of the group.
func ExampleDeduplicate() {
	store := dedup.NewMemory()
	mux := consumer.NewMux("pay_consumer_group")
	consumer.Handle(mux, "payments", func(_ context.Context, order string) error {
		fmt.Println("paid:", order)
		return nil
	}, consumer.Deduplicate(store, consumer.DedupBy(dedup.ByKey), consumer.DedupTTL(time.Hour)))

	sent := func(id string) *message.Delivery {
		d := &message.Delivery{ID: id, Topic: "payments", Body: []byte("o-1")}
		d.SetRawProperties("KEYS\x01o-1\x02")
		return d
	}
	play(mux, sent("1"), sent("2"))
	// Output: paid: o-1
}
