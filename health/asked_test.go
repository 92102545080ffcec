package health_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

var payments = consumer.Subscription{Topic: "payments"}

func TestAFetcherIsReadyWhileItIsAMember(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		w.start()
		f, err := w.client.NewFetcher("audit", []consumer.Subscription{payments}, consumer.From(consumer.First))
		w.must(err)
		w.want(true, false, "fetcher audit: not ready; it was not started; 0 queues, 0 messages behind, 0 waiting, 0 without an answer, fetched nothing yet")
		w.must(f.Start(t.Context()))
		w.send()
		time.Sleep(time.Minute)
		w.want(true, true, "fetcher audit: ok; 5 queues, 2 messages behind, 2 waiting, 0 without an answer, fetched nothing yet")
		at := time.Now()
		ds, err := f.Fetch(t.Context(), 1)
		w.must(err)
		time.Sleep(time.Minute)
		w.want(true, true, "fetcher audit: ok; 5 queues, 2 messages behind, 1 waiting, 1 without an answer, fetched last at "+at.UTC().Format(time.RFC3339))
		w.must(f.Ack(ds...))
		w.must(f.Drain(t.Context()))
		w.want(true, false, "fetcher audit: not ready; it is ended")
	})
}

func TestAPullerSaysWhatItsLastRequestCameTo(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		w.start()
		p, err := w.client.NewPuller("audit", payments, consumer.From(consumer.First), consumer.PullWait(0))
		w.must(err)
		w.want(true, true, "puller audit of payments: ok; 0 queues, 0 messages behind, received nothing yet")
		for range 3 {
			_, err := w.producer.Send(t.Context(), message.New("payments", []byte("x"), message.ShardingKey("k")))
			w.must(err)
		}
		q := w.queue(p)
		_, err = p.Seek(t.Context(), q, consumer.Begin())
		w.must(err)
		at := time.Now().UTC().Format(time.RFC3339)
		_, err = p.Pull(t.Context(), q, 1)
		w.must(err)
		behind := w.client.State().Pullers[0]
		if end := w.end(p, q); behind.Queues != 1 || behind.Lag != end-1 {
			t.Errorf("%+v, the queue ends at %d", behind, end)
		}
		w.want(true, true, " messages behind, received last at "+at)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Pull(ctx, q, 1); !errors.Is(err, context.Canceled) { // which is no failure of the puller
			t.Error(err)
		}
		w.want(true, true, "puller audit of payments: ok; ")
		w.must(w.server.Close(t.Context()))
		if _, err := p.Pull(t.Context(), q, 1); err == nil {
			t.Error("a dead broker was pulled from")
		}
		r := w.checks.Report()
		for _, c := range r.Components {
			if c.Name == "puller audit of payments" && (!c.Ready || c.Problem == "") {
				t.Errorf("%+v", c)
			}
		}
		runtime.KeepAlive(p)
	})
}

// queue is one that has messages.
func (w *world) queue(p *consumer.Puller) message.Queue {
	w.t.Helper()
	qs, err := p.Queues(w.t.Context())
	w.must(err)
	for _, q := range qs {
		if w.end(p, q) > 1 {
			return q
		}
	}
	w.t.Fatal("no queue has messages")
	return message.Queue{}
}

func (w *world) end(p *consumer.Puller, q message.Queue) int64 {
	w.t.Helper()
	at, _ := p.Position(q)
	end, err := p.Seek(w.t.Context(), q, consumer.End())
	w.must(err)
	_, err = p.Seek(w.t.Context(), q, consumer.Offset(at))
	w.must(err)
	return end
}

func TestASimpleConsumerSaysWhatItsLastRequestCameTo(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		w.start()
		s, err := w.client.NewSimpleConsumer("audit", []consumer.Subscription{payments}, consumer.PullWait(0))
		w.must(err)
		w.want(true, true, "simple consumer audit: ok; received nothing yet")
		at := time.Now().UTC().Format(time.RFC3339)
		_, err = s.Receive(t.Context(), 1)
		w.must(err)
		w.want(true, true, "simple consumer audit: ok; received last at "+at)
		w.must(w.server.Close(t.Context()))
		if _, err := s.Receive(t.Context(), 1); err == nil {
			t.Error("a dead broker was received from")
		}
		w.want(true, false, "simple consumer audit: degraded; ")
		w.want(true, false, "received last at "+at)
		runtime.KeepAlive(s)
	})
}

// A program may make a puller for each of its requests.
func TestConsumersWithoutAnEndAreForgottenWithTheProgram(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		kept, err := w.client.NewPuller("kept", payments)
		w.must(err)
		for range 100 {
			_, err := w.client.NewPuller("audit", payments)
			w.must(err)
		}
		runtime.GC()
		if got := w.client.State().Pullers; len(got) != 1 || got[0].Group != "kept" {
			t.Errorf("%d pullers are remembered", len(got))
		}
		runtime.KeepAlive(kept)
	})
}
