package brokerlite

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// sample is one line of the text format.
type sample struct {
	family, name string
	labels       map[string]string
	value        float64
}

var (
	metricName   = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
	metricSample = regexp.MustCompile(`^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)$`)
	metricLabel  = regexp.MustCompile(`^([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)`)
)

// parseMetrics reads Prometheus' text format, and nothing that is not in order:
// each family once, with help and type before its samples, no sample twice.
func parseMetrics(t *testing.T, text string) (kinds map[string]string, samples []sample) {
	t.Helper()
	kinds = map[string]string{}
	seen := map[string]bool{}
	family, helped := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		words := strings.SplitN(line, " ", 4)
		switch {
		case strings.HasPrefix(line, "# HELP "):
			helped = words[2]
			if len(words) < 4 || !metricName.MatchString(helped) || kinds[helped] != "" {
				t.Fatalf("line %q", line)
			}
		case strings.HasPrefix(line, "# TYPE "):
			family = words[2]
			if family != helped || !slices.Contains([]string{"counter", "gauge", "histogram"}, words[3]) {
				t.Fatalf("line %q after the help of %q", line, helped)
			}
			kinds[family] = words[3]
		default:
			m := metricSample.FindStringSubmatch(line)
			if m == nil || seen[m[1]+m[2]] {
				t.Fatalf("line %q, or it is there twice", line)
			}
			seen[m[1]+m[2]] = true
			s := sample{family: family, name: m[1], labels: map[string]string{}}
			if rest, ok := strings.CutPrefix(s.name, family); !ok || rest != "" && (kinds[family] != "histogram" || !slices.Contains([]string{"_bucket", "_sum", "_count"}, rest)) {
				t.Fatalf("line %q in the family %q", line, family)
			}
			for rest := m[2]; rest != ""; {
				l := metricLabel.FindStringSubmatch(rest)
				if l == nil || s.labels[l[1]] != "" {
					t.Fatalf("labels %q", m[2])
				}
				s.labels[l[1]] = l[2]
				rest = rest[len(l[0]):]
			}
			var err error
			if s.value, err = strconv.ParseFloat(m[3], 64); err != nil {
				t.Fatal(err)
			}
			samples = append(samples, s)
		}
	}
	return kinds, samples
}

// get asks the server's HTTP address.
func get(t *testing.T, b *Broker, path string) (status int, kind, body string) {
	t.Helper()
	transport := &http.Transport{DialContext: b.Dial, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.HTTPAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(text)
}

// scrape returns the metrics' values by name and labels, in the order of labels'
// names, without those that all have.
func scrape(t *testing.T, b *Broker) (kinds map[string]string, values map[string]float64, samples []sample) {
	t.Helper()
	status, kind, body := get(t, b, "/metrics")
	if status != http.StatusOK || kind != "text/plain; version=0.0.4; charset=utf-8" {
		t.Fatalf("%d, %s: %s", status, kind, body)
	}
	kinds, samples = parseMetrics(t, body)
	values = map[string]float64{}
	for _, s := range samples {
		if s.labels["cluster"] != b.Cluster() || s.labels["node_id"] != b.Name() || s.labels["node_type"] != "broker" {
			t.Errorf("%s has the labels %v", s.name, s.labels)
		}
		name := s.name
		for _, l := range slices.Sorted(maps.Keys(s.labels)) {
			if l != "cluster" && l != "node_id" && l != "node_type" {
				name += " " + l + "=" + s.labels[l]
			}
		}
		values[name] = s.value
	}
	return kinds, values, samples
}

// busy is a broker that has done a little of everything that metrics count.
func busy(t *testing.T, b *Broker, c *client) (bytes float64) {
	t.Helper()
	c.createTopic("orders", 1)
	for i := range 5 {
		c.send(sending("orders"), fmt.Sprint("message ", i))
	}
	c.send(sending("orders"), strings.Repeat("x", 5000))
	c.heartbeat("me@1", "producers", "consumers", subscription(t, "orders", "*"))
	h := pulling("orders", 0, "*")
	h.MaxMessages = 4
	got := c.pull(h)
	if len(got.records) != 4 {
		t.Fatalf("%d messages", len(got.records))
	}
	c.ok(protocol.UpdateConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.UpdateConsumerOffset, ConsumerGroup: "consumers", Topic: "orders", CommitOffset: 1}, nil)
	_, phys, err := protocol.ParseOffsetMessageID(c.send(sending("others"), "end").MessageID)
	if err != nil {
		t.Fatal(err)
	}
	return float64(phys)
}

func TestMetricsHaveTheRightValues(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		bytes := busy(t, b, c)
		time.Sleep(7 * time.Second)
		_, got, _ := scrape(t, b)
		const in, out, group = " is_system=false topic=orders", " consumer_group=consumers is_system=false topic=orders", " consumer_group=consumers is_retry=false is_system=false topic=orders"
		const member = " language=java protocol_type=remoting version=v5_4_0"
		for name, want := range map[string]float64{
			"rocketmq_messages_in_total" + in:                                                                   6,
			"rocketmq_messages_in_total is_system=false topic=others":                                           1,
			"rocketmq_throughput_in_total" + in:                                                                 bytes,
			"rocketmq_messages_out_total" + out:                                                                 4,
			"rocketmq_message_size_count" + in:                                                                  6,
			"rocketmq_message_size_sum" + in:                                                                    bytes,
			"rocketmq_message_size_bucket is_system=false le=1024 topic=orders":                                 5,
			"rocketmq_message_size_bucket is_system=false le=4096 topic=orders":                                 5,
			"rocketmq_message_size_bucket is_system=false le=524288 topic=orders":                               6,
			"rocketmq_message_size_bucket is_system=false le=+Inf topic=orders":                                 6,
			"rocketmq_consumer_lag_messages" + group:                                                            5,
			"rocketmq_consumer_inflight_messages" + group:                                                       3,
			"rocketmq_consumer_ready_messages" + group:                                                          2,
			"rocketmq_consumer_queueing_latency_milliseconds" + group:                                           7000,
			"rocketmq_consumer_lag_latency_milliseconds" + group:                                                7000,
			"rocketmq_producer_connections" + member:                                                            1,
			"rocketmq_consumer_connections consume_mode=push consumer_group=consumers is_system=false" + member: 1,
			"rocketmq_broker_permission":                                                                        6,
			"rocketmq_half_messages":                                                                            0,
			"rocketmq_processor_watermark processor=send":                                                       0,
			"rocketmq_storage_message_reserve_time_milliseconds storage_medium=disk storage_type=local":         7000,
			"rocketkit_parked_pulls":                                                                            0,
			"rocketkit_storage_failed":                                                                          0,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s is %v (%v), want %v", name, v, ok, want)
			}
		}
		for _, name := range []string{"rocketmq_throughput_out_total" + out, "rocketmq_topic_number", "rocketmq_consumer_group_number", "rocketmq_storage_size_bytes storage_medium=disk storage_type=local"} {
			if got[name] <= 0 {
				t.Errorf("%s is %v", name, got[name])
			}
		}
	}, HTTP("127.0.0.1:0"), Name("b", "c"))
}

func TestTransactionsAndDeadLettersAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.heartbeat("me@1", "producers", "g", subscription(t, "orders", "*"))
		for i, outcome := range []int32{protocol.SysCommit, protocol.SysCommit, protocol.SysRollback} {
			r := c.send(sending("orders", protocol.PropTransactionPrepared, "true", protocol.PropProducerGroup, "producers"), fmt.Sprint(i))
			_, phys, err := protocol.ParseOffsetMessageID(r.MessageID)
			if err != nil {
				t.Fatal(err)
			}
			c.ok(protocol.EndTransaction, &protocol.EndTransactionRequest{ProducerGroup: "producers", TranStateTableOffset: r.QueueOffset, CommitLogOffset: phys, CommitOrRollback: outcome}, nil)
		}
		dead := sending("%RETRY%g")
		dead.ReconsumeTimes, dead.MaxReconsumeTimes = 2, protocol.SomeInt32(1)
		c.send(dead, "dead")
		_, got, _ := scrape(t, b)
		for name, want := range map[string]float64{
			"rocketmq_commit_messages_total": 2, "rocketmq_rollback_messages_total": 1, "rocketmq_half_messages": 0,
			"rocketmq_send_to_dlq_messages_total consumer_group=g is_system=false": 1,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
	}, HTTP("127.0.0.1:0"))
}

// Names, types and labels of what Apache has too are Apache's.
func TestMetricsAreNamedAsApacheNamesThem(t *testing.T) {
	text, err := os.ReadFile("testdata/apache-metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	apache := map[string][]string{} // type and labels
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); words[0] != "#" {
			apache[words[0]] = words[1:]
		}
	}
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		busy(t, b, c)
		kinds, _, samples := scrape(t, b)
		for name, kind := range kinds {
			if strings.HasPrefix(name, "rocketkit_") {
				continue
			}
			if a := apache[name]; a == nil || a[0] != kind {
				t.Errorf("%s is a %s; Apache has %v", name, kind, a)
			}
		}
		for _, s := range samples {
			for l := range s.labels {
				if !strings.HasPrefix(s.name, "rocketkit_") && !slices.Contains(apache[s.family][1:], l) {
					t.Errorf("%s has the label %s, Apache's has %v", s.name, l, apache[s.family])
				}
			}
		}
	}, HTTP("127.0.0.1:0"))
}

func TestItIsReadyWhileItTakesMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := newStallingDisk()
		b, err := Start(t.Context(), withFiles(disk.fs), VirtualNetwork(NewNetwork()), HTTP("127.0.0.1:0"), SyncFlush())
		if err != nil {
			t.Fatal(err)
		}
		c := dial(t, b)
		c.createTopic("orders", 1)
		for _, path := range []string{"/healthz", "/readyz"} {
			if status, _, body := get(t, b, path); status != http.StatusOK {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
		disk.breakDown()
		if resp := c.call(protocol.SendMessageV2, sending("orders"), []byte("x")); resp.Code == protocol.Success {
			t.Error("a message is stored")
		}
		if status, _, body := get(t, b, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "sync") {
			t.Errorf("after a failed sync: %d %s", status, body)
		}
		if status, _, _ := get(t, b, "/healthz"); status != http.StatusOK {
			t.Errorf("after a failed sync it is not alive: %d", status)
		}
		if _, got, _ := scrape(t, b); got["rocketkit_storage_failed"] != 1 {
			t.Error("the metrics do not tell of the failed sync")
		}
		if err := b.Close(context.Background()); err == nil || !strings.Contains(err.Error(), "sync") {
			t.Errorf("Close says %v", err)
		}
	})
}

func TestOnlyWhatIsThereIsServed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, _ *client) {
		for path, want := range map[string]int{"/": 404, "/metrics/": 404, "/debug/pprof/": 404, "/metrics": 200} {
			if status, _, _ := get(t, b, path); status != want {
				t.Errorf("%s: %d, want %d", path, status, want)
			}
		}
	}, HTTP("127.0.0.1:0"))
}

func TestDebugIsServedOnDemand(t *testing.T) {
	debug := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "debugging "+r.URL.Path) })
	inBubble(t, func(t *testing.T, b *Broker, _ *client) {
		if _, _, body := get(t, b, "/debug/pprof/heap"); body != "debugging /debug/pprof/heap" {
			t.Error(body)
		}
	}, HTTP("127.0.0.1:0"), HTTPDebug(debug))
}

func TestANameServerAloneIsReadyAndHasNoMetrics(t *testing.T) {
	inBubbleOf(t, RoleNameServer, func(t *testing.T, b *Broker) {
		if status, _, body := get(t, b, "/readyz"); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
		if status, _, body := get(t, b, "/metrics"); status != http.StatusOK || body != "" {
			t.Errorf("%d %q", status, body)
		}
	})
}

func inBubbleOf(t *testing.T, role Role, f func(t *testing.T, b *Broker)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f(t, start(t, InMemory(), VirtualNetwork(NewNetwork()), WithRole(role), HTTP("127.0.0.1:0")))
	})
}

func TestWhoStopsIsNotReady(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, _ *client) {
		handler := b.HTTPHandler()
		for _, step := range []struct {
			p    phase
			code int
			why  string
		}{{starting, 503, "starting"}, {running, 200, "ready"}, {draining, 503, "stopping"}, {ended, 503, "stopped"}} {
			b.at(step.p)
			for path, code := range map[string]int{"/readyz": step.code, "/healthz": 200} {
				w := &answer{header: http.Header{}}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
				if err != nil {
					t.Fatal(err)
				}
				handler.ServeHTTP(w, req)
				if w.code() != code || path == "/readyz" && !strings.Contains(w.text.String(), step.why) {
					t.Errorf("phase %d: %s: %d %s", step.p, path, w.code(), w.text.String())
				}
			}
		}
		b.at(running)
	})
}

// answer is a http.ResponseWriter.
type answer struct {
	header http.Header
	status int
	text   strings.Builder
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.text.Write(p) }
func (a *answer) code() int {
	if a.status == 0 {
		return http.StatusOK
	}
	return a.status
}

func TestAfterCloseNothingIsServed(t *testing.T) {
	t.Parallel()
	b := start(t, InMemory(), HTTP("127.0.0.1:0"))
	addr := b.HTTPAddr()
	if status, _, _ := get(t, b, "/readyz"); status != http.StatusOK {
		t.Errorf("%d", status)
	}
	stop(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if c, err := new(net.Dialer).DialContext(ctx, "tcp", addr); err == nil {
		t.Error("somebody listens still")
		_ = c.Close()
	}
	if err := b.ready(); err == nil {
		t.Error("it says that it is ready")
	}
}

func TestABadHTTPAddressIsAMistake(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"x", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999"} {
		if _, err := Start(t.Context(), InMemory(), HTTP(addr)); err == nil || !strings.Contains(err.Error(), "httpAddress") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	taken := start(t, InMemory(), HTTP("127.0.0.1:0"))
	if _, err := Start(t.Context(), InMemory(), HTTP(taken.HTTPAddr())); err == nil || !strings.Contains(err.Error(), "--http-addr") {
		t.Errorf("an address that is taken: %v", err)
	}
}

func TestWithoutAnAddressNothingListens(t *testing.T) {
	t.Parallel()
	if b := start(t, InMemory()); b.HTTPAddr() != "" {
		t.Errorf("it listens at %s", b.HTTPAddr())
	}
}

func TestTimersAndRevivalsAreCounted(t *testing.T) {
	const (
		storage = " storage_medium=disk storage_type=local"
		revived = "rocketmq_pop_revive_retry_messages_total consumer_group=group put_status=PUT_OK topic=orders"
	)
	onDisk(t, func(t *testing.T, b *Broker, c *client, disk *stallingDisk) {
		expect := func(when string, want map[string]float64) {
			t.Helper()
			_, got, _ := scrape(t, b)
			for name, v := range want {
				if n, ok := got[name]; !ok || n != v {
					t.Errorf("%s: %s is %v (%v), want %v", when, name, n, ok, v)
				}
			}
		}
		c.createTopic("orders", 1)
		for _, ms := range []string{"3000", "5000", "7200000"} {
			c.send(sending("orders", "TIMER_DELAY_MS", ms), ms)
		}
		time.Sleep(4 * time.Second)
		expect("after 4 s", map[string]float64{
			"rocketmq_timer_enqueue_total" + storage: 3, "rocketmq_timer_dequeue_total" + storage: 1, "rocketmq_timer_enqueue_lag" + storage: 0,
			"rocketmq_timer_enqueue_latency_milliseconds" + storage: 0, "rocketmq_timer_dequeue_latency_milliseconds" + storage: 0,
		})
		h := popping("orders")
		h.InvisibleTime = 10_000
		if n := len(c.pop(h).records); n != 1 {
			t.Errorf("%d messages popped", n)
		}
		disk.stall()
		time.Sleep(4 * time.Second)
		expect("when the disk does not write", map[string]float64{
			"rocketmq_timer_dequeue_total" + storage: 1, "rocketmq_timer_dequeue_latency_milliseconds" + storage: 3000,
		})
		disk.resume()
		time.Sleep(16 * time.Second)
		expect("after 24 s", map[string]float64{
			"rocketmq_timer_dequeue_total" + storage: 2, "rocketmq_timer_dequeue_latency_milliseconds" + storage: 0,
			revived: 1,
		})
		c.ok(protocol.DeleteTopicInBroker, &protocol.TopicRequest{Topic: "orders"}, nil)
		if _, got, _ := scrape(t, b); got[revived] != 0 {
			t.Errorf("of a topic that is gone: %v", got[revived])
		}
	}, HTTP("127.0.0.1:0"))
}
