package rocketkit_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// series are the metrics of a scope: each with its attributes, and what it says, which is
// the count of a histogram.
type series map[string]int64

// reading collects what r has; port stands for the broker's.
func reading(t *testing.T, r *sdkmetric.ManualReader, port int) (series, map[string]metricdata.Metrics) {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	all, byName := series{}, map[string]metricdata.Metrics{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			byName[m.Name] = m
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					all[m.Name+labels(p.Attributes, port)] += p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					all[m.Name+labels(p.Attributes, port)] += int64(p.Count)
				}
			default:
				t.Errorf("%s is a %T", m.Name, m.Data)
			}
		}
	}
	return all, byName
}

func labels(set attribute.Set, port int) string {
	var parts []string
	for _, kv := range set.ToSlice() {
		name, value := string(kv.Key), kv.Value.Emit()
		switch name {
		case "messaging.system", "messaging.operation.name":
			continue // see the test of units
		case "messaging.destination.partition.id":
			value = value[:strings.LastIndexByte(value, '-')+1] + "0"
		case "server.port":
			if value == fmt.Sprint(port) {
				value = "0"
			}
		}
		name = strings.TrimPrefix(name, "messaging.")
		parts = append(parts, name+"="+value)
	}
	slices.Sort(parts)
	op, _ := set.Value("messaging.operation.name")
	return strings.TrimSpace(" "+op.AsString()) + "{" + strings.Join(parts, " ") + "}"
}

func TestMetricsCountWhatIsSentAndConsumed(t *testing.T) {
	for _, leg := range legs() {
		t.Run(leg.name, func(t *testing.T) { leg.in(t, metricsCountWhatIsSentAndConsumed) })
	}
}

func metricsCountWhatIsSentAndConsumed(t *testing.T, s cluster) {
	s.createOrders()
	o := s.observed(trace.Options{})
	r, rec := o.reader, o.rec
	p := newProducer(t, o.Client, "pay")
	same := message.ShardingKey("k")
	for range 2 {
		if _, err := p.Send(t.Context(), message.New("orders", []byte("b"), same)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.SendBatch(t.Context(), []*message.Message{message.New("orders", []byte("b"), same), message.New("orders", []byte("b"), same)}); err != nil {
		t.Fatal(err)
	}
	refuse := s.Fault(brokerlite.Match{Code: 310}, brokerlite.Answer(2, "busy"))
	if _, err := p.Send(t.Context(), message.New("orders", []byte("b"), same)); err == nil {
		t.Error("it was sent")
	}
	refuse()

	proceed := make(chan struct{})
	mux := consumer.NewMux("shop", consumer.From(consumer.First), consumer.MaxRetries(1), consumer.Concurrency(1))
	consumer.Handle(mux, "orders", func(ctx context.Context, _ string) error {
		<-proceed
		if d := message.DeliveryFrom(ctx); d.QueueOffset == 0 || d.ReconsumeTimes == 1 {
			return errors.New("boom")
		}
		return nil
	}, consumer.Name("ship"))
	c, err := o.NewConsumer(mux)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.counts(r, series{
		"rocketkit.consumer.in_flight{consumer.group.name=shop rocketkit.handler.name=ship}":                                           4,
		"rocketkit.consumer.lag{consumer.group.name=shop destination.name=orders destination.partition.id=broker-a-0}":                 4,
		"rocketkit.producer.in_flight{rocketkit.producer.group=pay}":                                                                   0,
		"rocketkit.producer.breaker.state{rocketkit.breaker.state=closed rocketkit.broker.name=broker-a rocketkit.producer.group=pay}": 1,
	}, false)
	close(proceed) // then come the retry, and the dead letter
	const server = " server.address=127.0.0.1 server.port=0"
	all := s.counts(r, series{
		"messaging.client.operation.durationsend{destination.name=orders operation.type=send" + server + "}":                              3,
		"messaging.client.operation.durationsend{destination.name=orders error.type=SYSTEM_BUSY operation.type=send" + server + "}":       1,
		"messaging.client.operation.durationnack{consumer.group.name=shop destination.name=orders operation.type=settle" + server + "}":   2,
		"messaging.client.sent.messagessend{destination.name=orders" + server + "}":                                                       4,
		"messaging.client.sent.messagessend{destination.name=orders error.type=SYSTEM_BUSY" + server + "}":                                1,
		"messaging.client.consumed.messagesprocess{consumer.group.name=shop destination.name=orders" + server + "}":                       3,
		"messaging.client.consumed.messagesprocess{consumer.group.name=shop destination.name=orders error.type=_OTHER" + server + "}":     2,
		"messaging.process.durationprocess{consumer.group.name=shop destination.name=orders" + server + "}":                               3,
		"messaging.process.durationprocess{consumer.group.name=shop destination.name=orders error.type=_OTHER" + server + "}":             2,
		"rocketkit.producer.in_flight{rocketkit.producer.group=pay}":                                                                      0,
		"rocketkit.producer.retries{destination.name=orders rocketkit.producer.group=pay}":                                                2,
		"rocketkit.producer.breaker.state{rocketkit.breaker.state=closed rocketkit.broker.name=broker-a rocketkit.producer.group=pay}":    1,
		"rocketkit.producer.breaker.state{rocketkit.breaker.state=half_open rocketkit.broker.name=broker-a rocketkit.producer.group=pay}": 0,
		"rocketkit.producer.breaker.state{rocketkit.breaker.state=open rocketkit.broker.name=broker-a rocketkit.producer.group=pay}":      0,
		"rocketkit.consumer.in_flight{consumer.group.name=shop rocketkit.handler.name=ship}":                                              0,
		"rocketkit.consumer.lag{consumer.group.name=shop destination.name=orders destination.partition.id=broker-a-0}":                    0,
		"rocketkit.consumer.lag{consumer.group.name=shop destination.name=%RETRY%shop destination.partition.id=broker-a-0}":               0,
		"rocketkit.consumer.retries{consumer.group.name=shop destination.name=orders}":                                                    1,
		"rocketkit.consumer.dead_letters{consumer.group.name=shop destination.name=orders}":                                               1,
	}, true)
	if s.driver == nil {
		s.showsOnDashboards(all)
	}
	if err := errors.Join(c.Drain(t.Context()), p.Close()); err != nil {
		t.Fatal(err)
	}
	got, byName := reading(t, r, s.port())
	for name := range got {
		if strings.HasPrefix(name, "rocketkit.consumer.lag") || strings.Contains(name, "in_flight") {
			t.Errorf("%s is told after the end", name)
		}
	}
	instruments(t, byName)
	sameDurations(t, byName["messaging.client.operation.duration"], rec.Ended(), "send", "nack")
	sameDurations(t, byName["messaging.process.duration"], rec.Ended(), "process")
}

// counts waits until the metrics are as wanted, with no others when they are to be all.
func (s cluster) counts(r *sdkmetric.ManualReader, want series, exactly bool) map[string]metricdata.Metrics {
	s.t.Helper()
	if s.driver != nil {
		want = countedByClientGo(want)
	}
	var got series
	var all map[string]metricdata.Metrics
	if !until(func() bool {
		if got, all = reading(s.t, r, s.port()); !exactly {
			maps.DeleteFunc(got, func(name string, _ int64) bool { _, wanted := want[name]; return !wanted })
		}
		return maps.Equal(want, got)
	}) {
		s.t.Errorf("metrics (-want +got):\n%s", cmp.Diff(want, got))
	}
	return all
}

// countedByClientGo is without lag and settling requests, which are not known, as is the
// address of a broker that has refused.
func countedByClientGo(all series) series {
	counted := series{}
	for name, n := range all {
		if strings.Contains(name, "consumer.lag") || strings.Contains(name, "durationnack") {
			continue
		}
		if strings.Contains(name, "SYSTEM_BUSY") {
			name = name[:strings.Index(name, " server.address")] + "}"
		}
		counted[name] = n
	}
	return counted
}

// showsOnDashboards checks that the metrics are what the dashboards and alert rules are of.
func (s cluster) showsOnDashboards(all map[string]metricdata.Metrics) {
	s.t.Helper()
	used := map[string]bool{}
	sdk := fromOTel(s.t, all)
	monitored(s.t, sdk, "rocketkit", used)
	scrape := httptest.NewRecorder()
	s.HTTPHandler().ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	monitored(s.t, fromScrape(scrape.Body.String()), "broker-lite", used)
	for name := range sdk {
		if !used[name] && !strings.HasSuffix(name, "_sum") {
			s.t.Errorf("no dashboard shows %s", name)
		}
	}
}

// instruments checks what is not of a single series.
func instruments(t *testing.T, byName map[string]metricdata.Metrics) {
	t.Helper()
	units := map[string]string{}
	for name, m := range byName {
		units[name] = m.Unit
		h, ok := m.Data.(metricdata.Histogram[float64])
		if !ok {
			continue
		}
		for _, p := range h.DataPoints {
			if diff := cmp.Diff([]float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}, p.Bounds); diff != "" {
				t.Errorf("boundaries of %s (-want +got):\n%s", name, diff)
			}
			if system, _ := p.Attributes.Value("messaging.system"); system.AsString() != "rocketmq" {
				t.Errorf("%s is of the system %q", name, system.AsString())
			}
		}
	}
	want := map[string]string{
		"messaging.client.operation.duration": "s", "messaging.process.duration": "s",
		"messaging.client.sent.messages": "{message}", "messaging.client.consumed.messages": "{message}",
		"rocketkit.producer.retries": "{attempt}", "rocketkit.consumer.retries": "{message}", "rocketkit.consumer.dead_letters": "{message}",
	}
	if diff := cmp.Diff(want, units); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
}

// measured checks that the conventions' metrics are of the same operations as the spans, with
// the same attributes but for those of single messages and queues.
func (s telemetry) measured() {
	s.t.Helper()
	want := series{}
	for _, span := range s.rec.Ended() {
		var plain, typed []attribute.KeyValue
		operation, messages := "", int64(1)
		for _, kv := range span.Attributes() {
			switch kv.Key {
			case "messaging.operation.name":
				operation = kv.Value.AsString()
				plain = append(plain, kv)
			case "messaging.system", "messaging.destination.name", "messaging.consumer.group.name", "error.type", "server.address", "server.port":
				plain = append(plain, kv)
			case "messaging.operation.type":
				typed = append(typed, kv)
			case "messaging.batch.message_count":
				messages = kv.Value.AsInt64()
			}
		}
		few := labels(attribute.NewSet(plain...), s.port())
		switch {
		case operation == "create":
			continue
		case operation == "process":
			want["messaging.process.duration"+few]++
		default:
			want["messaging.client.operation.duration"+labels(attribute.NewSet(append(plain, typed...)...), s.port())]++
		}
		switch {
		case operation == "send":
			want["messaging.client.sent.messages"+few] += messages
		case operation == "process", operation == "receive" && messages > 0:
			want["messaging.client.consumed.messages"+few] += messages
		}
	}
	got, _ := reading(s.t, s.reader, s.port())
	maps.DeleteFunc(got, func(name string, _ int64) bool { return !strings.HasPrefix(name, "messaging.") })
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("metrics (-as the spans say +got):\n%s", diff)
	}
}

// sameDurations checks that a histogram has the spans' durations.
func sameDurations(t *testing.T, m metricdata.Metrics, spans []sdktrace.ReadOnlySpan, operations ...string) {
	t.Helper()
	var want, got float64
	for _, s := range spans {
		if op, _, _ := strings.Cut(s.Name(), " "); slices.Contains(operations, op) {
			want += s.EndTime().Sub(s.StartTime()).Seconds()
		}
	}
	for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
		got += p.Sum
	}
	if d := want - got; d > 1e-6 || d < -1e-6 || want == 0 {
		t.Errorf("%s has %f s, the spans have %f s", m.Name, got, want)
	}
}

func TestTracesAndMetricsAreSwitchedOffByTheConfiguration(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		traces, metrics *bool
		spans, told     bool
	}{
		"by default":  {nil, nil, true, true},
		"both on":     {ptr(true), ptr(true), true, true},
		"no traces":   {ptr(false), nil, false, true},
		"no metrics":  {nil, ptr(false), true, false},
		"neither one": {ptr(false), ptr(false), false, false},
	} {
		rec, r := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
		cfg := base()
		cfg.Telemetry.Traces, cfg.Telemetry.Metrics = tc.traces, tc.metrics
		c, _ := open(t, cfg, rocketkit.WithTelemetry(trace.Options{
			Provider:      sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)),
			MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(r)),
		}))
		if _, err := newProducer(t, c, "pay_group").Send(t.Context(), message.New("orders", []byte("b"))); err != nil {
			t.Error(err)
		}
		all, _ := reading(t, r, 0)
		if spans, told := len(rec.Ended()) > 0, len(all) > 0; spans != tc.spans || told != tc.told {
			t.Errorf("%s: spans %v, metrics %v", name, spans, all)
		}
	}
}

// What a Fetcher and a SimpleConsumer give back or up counts as with a Consumer.
func TestMetricsCountWhatProgramsAskFor(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		s.createOrders()
		o := s.observed(trace.Options{})
		p, same := newProducer(t, o.Client, "pay"), message.ShardingKey("k")
		for range 4 {
			if _, err := p.Send(t.Context(), message.New("orders", []byte("b"), same)); err != nil {
				t.Fatal(err)
			}
		}
		subs := []consumer.Subscription{{Topic: "orders"}}
		f, err := o.NewFetcher("shop", subs, consumer.From(consumer.First))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		const lag = "rocketkit.consumer.lag{consumer.group.name=shop destination.name=orders destination.partition.id=broker-a-0}"
		s.counts(o.reader, series{"rocketkit.consumer.in_flight{consumer.group.name=shop}": 4, lag: 4}, false)
		ds, err := f.Fetch(t.Context(), 3)
		if err != nil || len(ds) != 3 {
			t.Fatal(ds, err)
		}
		s.counts(o.reader, series{"rocketkit.consumer.in_flight{consumer.group.name=shop}": 4, lag: 4}, false)
		if err := errors.Join(f.Ack(ds[0]), f.Retry(time.Hour, ds[1]), f.DeadLetter(ds[2])); err != nil {
			t.Fatal(err)
		}
		s.counts(o.reader, series{
			"rocketkit.consumer.in_flight{consumer.group.name=shop}": 1, lag: 1,
			"rocketkit.consumer.retries{consumer.group.name=shop destination.name=orders}":      1,
			"rocketkit.consumer.dead_letters{consumer.group.name=shop destination.name=orders}": 1,
		}, false)
		simple, err := o.NewSimpleConsumer("desk", subs, consumer.From(consumer.First))
		if err != nil {
			t.Fatal(err)
		}
		ds, err = simple.Receive(t.Context(), 1)
		if err := errors.Join(err, simple.DeadLetter(t.Context(), ds...)); err != nil {
			t.Fatal(err)
		}
		s.counts(o.reader, series{"rocketkit.consumer.dead_letters{consumer.group.name=desk destination.name=orders}": 1}, false)
	})
}

// Topics and groups are named without the namespace, which every span and metric has.
func TestTheNamespaceIsAnAttributeOfEverySpanAndMetric(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		rec, r := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
		c, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{s.NameServer()}, Namespace: "eu"}, rocketkit.WithDial(s.Dial),
			rocketkit.WithTelemetry(trace.Options{
				Provider:      sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)),
				MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(r)),
			}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newProducer(t, c, "pay").Send(t.Context(), message.New("orders", []byte("b"))); err != nil {
			t.Fatal(err)
		}
		consume(t, c, "shop", "orders").take(1)
		synctest.Wait() // the handler has returned
		got, _ := reading(t, r, s.port())
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, span := range rec.Ended() {
			set := attribute.NewSet(span.Attributes()...)
			ns, _ := set.Value("messaging.rocketmq.namespace")
			names = append(names, span.Name()+" in "+ns.AsString())
		}
		slices.Sort(names)
		if diff := cmp.Diff([]string{"process orders in eu", "send orders in eu"}, names); diff != "" {
			t.Errorf("spans (-want +got):\n%s", diff)
		}
		for name := range got {
			if !strings.Contains(name, "rocketmq.namespace=eu") || strings.Contains(name, "eu%") {
				t.Errorf("metric %s", name)
			}
		}
		if len(got) < 8 {
			t.Errorf("%d metrics: %v", len(got), got)
		}
	})
}
