package rocketkit_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
)

// circuit is the one state that the metric says the producer's only circuit is in.
func (s cluster) circuit(r *sdkmetric.ManualReader) (state string) {
	s.t.Helper()
	got, _ := reading(s.t, r, s.port())
	for name, n := range got {
		labels, isOne := strings.CutPrefix(name, "rocketkit.producer.breaker.state{rocketkit.breaker.state=")
		if !isOne || n == 0 {
			continue
		}
		if state != "" || n != 1 {
			s.t.Errorf("several states, or %d: %v", n, got)
		}
		state, _, _ = strings.Cut(labels, " ")
	}
	return state
}

// A broker that refuses opens its circuit; the send that tries it later finds it as it was,
// and then well.
func TestTheBreakersStateIsAMetric(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		r := sdkmetric.NewManualReader()
		c := s.connect(rocketkit.WithTelemetry(trace.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(r))}))
		p := newProducer(t, c, "pay", producer.Retries(0), producer.Breaker(producer.BreakerSettings{Failures: 3, OpenFor: 10 * time.Second}))
		send := func() error {
			_, err := p.Send(t.Context(), message.New("orders", []byte("b")))
			return err
		}
		is := func(want string) {
			t.Helper()
			if got := s.circuit(r); got != want {
				t.Errorf("the circuit is %q, want %q", got, want)
			}
		}
		// tries has one send try the broker, whose answer takes a second, and looks meanwhile.
		tries := func(during string) error {
			t.Helper()
			done := make(chan error, 1)
			p.SendAsync(t.Context(), message.New("orders", []byte("b")), func(_ context.Context, _ message.SendResult, err error) { done <- err })
			time.Sleep(500 * time.Millisecond)
			is(during)
			err := <-done
			synctest.Wait()
			return err
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		is("closed")

		const sendV2, notAvailable = 310, 14
		refuse := s.Fault(brokerlite.Match{Code: sendV2}, brokerlite.Answer(notAvailable, "no").After(time.Second))
		for range 3 {
			if err := tries("closed"); err == nil || errors.Is(err, message.ErrBreakerOpen) {
				t.Errorf("refused: %v", err)
			}
		}
		is("open")
		if err := send(); !errors.Is(err, message.ErrBreakerOpen) {
			t.Errorf("while it is open: %v", err)
		}
		time.Sleep(11 * time.Second)
		is("half_open") // for who looks before somebody sends, such as a probe that lets traffic in
		if err := tries("half_open"); err == nil || errors.Is(err, message.ErrBreakerOpen) {
			t.Errorf("the send that tries: %v", err)
		}
		is("open")

		refuse()
		s.Fault(brokerlite.Match{Code: sendV2}, brokerlite.Pass().After(time.Second))
		time.Sleep(11 * time.Second)
		if err := tries("half_open"); err != nil {
			t.Errorf("the broker is well: %v", err)
		}
		is("closed")
	})
}
