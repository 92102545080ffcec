package rocketkittest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

// everywhere runs f in a bubble and, in parallel, outside of one.
func everywhere(t *testing.T, f func(t *testing.T)) {
	t.Parallel()
	t.Run("in a bubble", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
	t.Run("outside", func(t *testing.T) {
		t.Parallel()
		f(t)
	})
}

// shop's handler fails for bodies of "bad".
func shop() *consumer.Mux {
	mux := consumer.NewMux("shop")
	consumer.Handle(mux, "orders", func(_ context.Context, body string) error {
		if body == "bad" {
			return errors.New("no such article")
		}
		return nil
	}, consumer.MaxRetries(1))
	return mux
}

func order(body string, opts ...message.Option) *message.Message {
	return message.New("orders", []byte(body), opts...)
}

func TestWhatIsSentIsConsumed(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		mux := shop()
		handlers := rocketkittest.Record(mux)
		mq.Consume(t, mux)
		sent := mq.Send(t, order(`{"id": 1}`, message.Tag("paid"), message.Key("1", "one")))
		mq.Send(t, order("2"))

		d := handlers.Consumed().Eventually(t, rocketkittest.Want{Topic: "orders", Tag: "paid", Key: "one", ID: sent.MessageID, Body: `{"id":1}`})
		if d.ID != sent.MessageID || d.Queue != sent.Queue {
			t.Errorf("%v, sent %v", d, sent)
		}
		handlers.Consumed().Exactly(t, rocketkittest.Want{}, rocketkittest.Want{Body: "2"})
		handlers.Failed().Exactly(t)
		mq.SentTo("orders").Exactly(t, rocketkittest.Want{Body: "2"}, rocketkittest.Want{Where: func(d *message.Delivery) bool { return d.ID == sent.MessageID }})
		mq.SentTo("nothing").Exactly(t)
	})
}

func TestAPostponedMessageComesWhenTheTimeIsAdvanced(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		mux := shop()
		handlers := rocketkittest.Record(mux)
		mq.Consume(t, mux)
		mq.Send(t, order("level", delay.Level(9)))
		mq.Send(t, order("after", delay.After(30*time.Minute)))
		mq.Send(t, order("at", delay.At(time.Now().Add(30*time.Minute))))
		mq.Advance(4 * time.Minute)
		mq.SentTo("orders").Exactly(t)
		mq.Advance(time.Minute)
		mq.SentTo("orders").Exactly(t, rocketkittest.Want{Body: "level"})
		mq.Advance(24 * time.Minute)
		handlers.Consumed().Exactly(t, rocketkittest.Want{Body: "level"})
		mq.Advance(time.Minute + 2*time.Second) // timers go by seconds
		handlers.Consumed().Exactly(t, rocketkittest.Want{Body: "level"}, rocketkittest.Want{Body: "after"}, rocketkittest.Want{Body: "at"})
	})
}

func TestAMessageThatFailsIsADeadLetterInTheEnd(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		mux := shop()
		handlers := rocketkittest.Record(mux)
		mq.Consume(t, mux)
		mq.Send(t, order("bad", message.Key("4711")))
		handlers.Failed().Eventually(t, rocketkittest.Want{Key: "4711"})
		mq.DeadLetters("shop").Exactly(t)
		mq.SentTo("SCHEDULE_TOPIC_XXXX").Eventually(t, rocketkittest.Want{Key: "4711"}) // it has been sent back
		mq.Advance(10 * time.Second)
		if d := mq.DeadLetters("shop").Eventually(t, rocketkittest.Want{Topic: "orders", Key: "4711"}); d.ReconsumeTimes != 2 {
			t.Errorf("%d retries", d.ReconsumeTimes)
		}
		handlers.Consumed().Exactly(t)
		handlers.Failed().Exactly(t, rocketkittest.Want{Body: "bad"}, rocketkittest.Want{Body: "bad"})
	})
}

func TestWhatIsBrokenGoesWrongUntilItIsMended(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		p, err := mq.Client(t).NewProducer("p", producer.Retries(0))
		if err != nil {
			t.Fatal(err)
		}
		mend := mq.Break(t, brokerlite.Match{Code: rocketkittest.Send, Topic: "orders"}, brokerlite.Answer(2, "busy"))
		mq.Send(t, message.New("others", []byte("x")))
		if _, err := p.Send(t.Context(), order("1")); err == nil {
			t.Error("it was sent")
		}
		mend()
		mq.Send(t, order("2"))
		mq.SentTo("orders").Exactly(t, rocketkittest.Want{Body: "2"})
	})
}

func TestOptionsComeOnTop(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		mq := rocketkittest.Start(t, brokerlite.Conf("autoCreateTopicEnable=false"))
		p, err := mq.Client(t).NewProducer("p")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Send(t.Context(), order("1")); err == nil {
			t.Error("the topic was made")
		}
	})
}

// A topic that a send has made is registered after the send is answered.
func TestATopicIsReadThoughTheNameServerLearnsOfItLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		const register = 103
		mq.Break(t, brokerlite.Match{NameServer: true, Code: register}, brokerlite.Pass().After(time.Second))
		mq.Send(t, order("1"))
		if n := len(mq.SentTo("orders").All(t)); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestAHandlerThatPanicsHasFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mq := rocketkittest.Start(t)
		mux := consumer.NewMux("shop")
		consumer.Handle(mux, "orders", func(_ context.Context, body string) error { panic(body) }, consumer.MaxRetries(0))
		handlers := rocketkittest.Record(mux)
		mq.Consume(t, mux)
		mq.Send(t, order("boom"))
		mq.DeadLetters("shop").Eventually(t, rocketkittest.Want{Body: "boom"})
		handlers.Failed().Exactly(t, rocketkittest.Want{Body: "boom"})
		handlers.Consumed().Exactly(t)
	})
}

// What is due at a moment of real time would otherwise come late by what the test has taken.
func TestTheServersClockIsNotBehindRealTimeAfterAdvance(t *testing.T) {
	t.Parallel()
	mq := rocketkittest.Start(t)
	now := time.Now().Truncate(time.Millisecond)
	mq.Advance(time.Hour)
	mq.Send(t, order("1"))
	stored := mq.SentTo("orders").Eventually(t, rocketkittest.Want{}).Stored()
	if stored.Before(now.Add(time.Hour)) {
		t.Errorf("stored at %v, an hour after %v", stored, now)
	}
}
