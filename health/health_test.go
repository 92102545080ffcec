package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/health"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server, a client of it with a producer and a consumer, and their checks.
type world struct {
	t        *testing.T
	server   *brokerlite.Broker
	client   *rocketkit.Client
	producer *producer.Producer
	consumer *consumer.Consumer
	checks   *health.Checks
}

// in runs f in a bubble with a world whose handler is h, named paid.
func in(t *testing.T, h consumer.Func[string], f func(*testing.T, *world), opts ...consumer.HandlerOption) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t}
		var err error
		w.server, err = brokerlite.Start(t.Context(), brokerlite.InMemory(), brokerlite.VirtualNetwork(brokerlite.NewNetwork()))
		w.must(err)
		defer func() { w.must(w.server.Close(context.Background())) }()
		w.client, err = rocketkit.Open(t.Context(), config.Config{NameServers: []string{w.server.NameServer()}}, rocketkit.WithDial(w.server.Dial))
		w.must(err)
		defer w.client.Close()
		w.checks = health.New(w.client)
		w.producer, err = w.client.NewProducer("pay_producer", producer.Retries(0), producer.SendTimeout(time.Second))
		w.must(err)
		mux := consumer.NewMux("pay")
		consumer.Handle(mux, "payments", h, append(opts, consumer.Name("paid"))...)
		w.consumer, err = w.client.NewConsumer(mux)
		w.must(err)
		defer w.consumer.Stop(context.Background())
		f(t, w)
	})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start() {
	w.t.Helper()
	w.must(w.consumer.Start(w.t.Context()))
	w.send()
	time.Sleep(time.Minute) // it has its queues
}

func (w *world) send() {
	w.t.Helper()
	_, err := w.producer.Send(w.t.Context(), message.New("payments", []byte("x")))
	w.must(err)
}

// want holds both verdicts, and a line of the report.
func (w *world) want(live, ready bool, line string) {
	w.t.Helper()
	r := w.checks.Report()
	if r.Live != live || r.Ready != ready || !strings.Contains(r.String(), line) {
		w.t.Errorf("want live %t, ready %t, and %q in\n%s", live, ready, line, r)
	}
}

func done(context.Context, string) error { return nil }

func TestAProgramThatWorksIsReady(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		w.want(true, false, "consumer pay: not ready; it was not started")
		w.start()
		w.want(true, true, "consumer pay: ok; 5 queues, 0 messages behind")
		w.want(true, true, "name servers: ok; as of ")
		w.want(true, true, "broker "+w.server.Name())
		w.want(true, true, "producer pay_producer: ok; 0 in flight")
		w.want(true, true, "handler paid of pay: ok; 0 of 20 at work, 0 waiting")
		w.must(w.consumer.Pause())
		w.want(true, true, "handler paid of pay: degraded; paused;")
		w.must(w.checks.Drain(t.Context()))
		w.want(true, false, "program: not ready; it is ending")
	})
}

func TestADeadBrokerIsNotReady(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		w.start()
		w.must(w.server.Close(t.Context()))
		for range 10 {
			if _, err := w.producer.Send(t.Context(), message.New("payments", []byte("x"))); err == nil {
				t.Fatal("a dead broker took a message")
			}
			time.Sleep(time.Second)
		}
		w.want(true, false, "producer pay_producer: not ready; circuit breaker open for "+w.server.Name())
		w.want(true, false, "broker "+w.server.Name()+" at ")
		time.Sleep(2 * time.Minute)
		w.want(true, false, "name servers: not ready; no name server reachable")
		w.want(true, false, "producer pay_producer: ok") // or no probe would let the send in that closes its circuits
		w.want(true, false, "consumer pay: not ready; topic ")
	})
}

func TestAStoppedConsumerIsNotReady(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		w.start()
		w.must(w.consumer.Drain(t.Context()))
		w.want(true, false, "consumer pay: not ready; it is ended")
		w.must(w.producer.Close())
		w.want(true, false, "producer pay_producer: not ready; it has ended")
		w.must(w.client.Close())
		w.want(true, false, "client: not ready; it is closing")
	})
}

func TestAConsumerWhoseGroupDiffersSaysSo(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		w.start()
		client, err := rocketkit.Open(t.Context(), config.Config{NameServers: []string{w.server.NameServer()}}, rocketkit.WithDial(w.server.Dial))
		w.must(err)
		defer client.Close()
		mux := consumer.NewMux("pay")
		consumer.Handle(mux, "payments", done, consumer.Tags("card"))
		other, err := client.NewConsumer(mux)
		w.must(err)
		w.must(other.Start(t.Context()))
		time.Sleep(4 * time.Minute)
		w.want(true, true, "consumer pay: ok")
		time.Sleep(3 * time.Minute)
		w.want(true, true, `consumer pay: degraded; group "pay": subscriptions differ between its members: topic "payments" has "*" here and "card" there;`)
		w.must(other.Stop(t.Context()))
	})
}

func TestAHandlerThatIsStuckIsNotLive(t *testing.T) {
	in(t, func(context.Context, string) error { time.Sleep(time.Hour); return nil }, func(t *testing.T, w *world) {
		w.start()
		w.want(true, true, "1 of 2 at work")
		time.Sleep(10 * time.Minute)
		w.want(true, true, "handler paid of pay: degraded; 1 calls have passed their consume time-out")
		w.send()
		time.Sleep(10 * time.Minute)
		w.want(false, false, "handler paid of pay: stuck; all 2 calls have passed")
		time.Sleep(time.Hour)
		w.want(true, true, "handler paid of pay: ok")
	}, consumer.Concurrency(2), consumer.Timeout(5*time.Minute))
}

func TestAKillSwitchShows(t *testing.T) {
	in(t, func(context.Context, string) error { return errors.New("down") }, func(t *testing.T, w *world) {
		w.start()
		w.want(true, true, "handler paid of pay: degraded; paused by its kill switch")
	}, consumer.KillSwitch(consumer.KillSwitchSettings{AtLeast: 1, PauseFor: time.Hour}))
}

func TestTheReportIsJSONOrText(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		ask := func(h http.Handler, url, accept string) *httptest.ResponseRecorder {
			req := httptest.NewRequest(http.MethodGet, url, nil)
			req.Header.Set("Accept", accept)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			return rec
		}
		rec := ask(w.checks.Ready(), "/readyz", "*/*")
		var r health.Report
		if err := json.Unmarshal(rec.Body.Bytes(), &r); err != nil || rec.Code != http.StatusServiceUnavailable || r.Ready || !r.Live || len(r.Components) < 4 || rec.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%d, %v: %s", rec.Code, err, rec.Body)
		}
		for _, rec := range []*httptest.ResponseRecorder{ask(w.checks.Live(), "/livez?format=text", ""), ask(w.checks.Live(), "/livez", "text/plain")} {
			if rec.Code != http.StatusOK || !strings.HasPrefix(rec.Body.String(), "live: true\nready: false\n") {
				t.Errorf("%d: %s", rec.Code, rec.Body)
			}
		}
		w.start()
		if rec := ask(w.checks.Ready(), "/readyz", ""); rec.Code != http.StatusOK {
			t.Errorf("%d: %s", rec.Code, rec.Body)
		}
	})
}
