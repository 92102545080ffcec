package clientgo

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	clienterrors "github.com/apache/rocketmq-client-go/v2/errors"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

func TestFactoryRefusesWhatClientGoCannotDo(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]driver.Config{
		"TLS":                 {TLS: &tls.Config{MinVersion: tls.VersionTLS12}},
		"Dial":                {Dial: (&net.Dialer{}).DialContext},
		"RequestTimeout":      {RequestTimeout: time.Second},
		"HeartbeatInterval":   {HeartbeatInterval: time.Second},
		"RouteInterval":       {RouteInterval: time.Second},
		"none of the servers": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name != "none of the servers" {
				cfg.NameServers = []string{"localhost:9876"}
			}
			d, err := Factory(t.Context(), cfg)
			if err == nil {
				t.Fatal(d.Close(t.Context()), "no error")
			}
			if len(cfg.NameServers) > 0 && (!errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "native driver")) {
				t.Errorf("error %v, want ErrUnsupported that names %s and a remedy", err, name)
			}
		})
	}
}

func TestFactoryTakesClientGosOwnIntervalsAndHostNames(t *testing.T) {
	t.Parallel()
	d, err := Factory(t.Context(), driver.Config{
		NameServers: []string{"localhost:1", "[::1]:1"}, RequestTimeout: requestTimeout, HeartbeatInterval: heartbeatInterval, RouteInterval: routeInterval,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.Capabilities(), (driver.Capabilities{Batch: true, Compression: [...]bool{true, false, false}}); got != want {
		t.Errorf("capabilities %+v, want %+v", got, want)
	}
	if d.Name() != "rocketmq-client-go" {
		t.Errorf("name %q", d.Name())
	}
	s, err := d.NewSender(driver.SenderConfig{Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Queues(t.Context(), "topic")
	var route *message.RouteError
	if !errors.Is(err, message.ErrNoNameServer) || !errors.As(err, &route) || route.Topic != "topic" || !message.SafeToRetry(err) {
		t.Errorf("error %v, want ErrNoNameServer", err)
	}
	if _, err := d.NewSender(driver.SenderConfig{Group: "g", Check: func(context.Context, *message.Delivery) driver.TxState { return 0 }}); !errors.Is(err, message.ErrUnsupported) {
		t.Errorf("a producer of transactions: error %v, want ErrUnsupported", err)
	}
	if _, ok := s.(driver.Transactor); ok {
		t.Error("a sender without transactions is a Transactor")
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSubscriptionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	topic := []driver.TopicFilter{{Topic: "t"}}
	for name, c := range map[string]struct {
		cfg         driver.SubscriptionConfig
		unsupported bool
	}{
		"no topics":           {cfg: driver.SubscriptionConfig{}},
		"a topic twice":       {cfg: driver.SubscriptionConfig{Topics: []driver.TopicFilter{{Topic: "t"}, {Topic: "t"}}}},
		"a name":              {cfg: driver.SubscriptionConfig{Topics: []driver.TopicFilter{{Topic: "a b"}}}},
		"an empty tag":        {cfg: driver.SubscriptionConfig{Topics: []driver.TopicFilter{{Topic: "t", Expression: "a || "}}}},
		"a star among tags":   {cfg: driver.SubscriptionConfig{Topics: []driver.TopicFilter{{Topic: "t", Expression: "a || *"}}}},
		"an unknown type":     {cfg: driver.SubscriptionConfig{Topics: []driver.TopicFilter{{Topic: "t", Type: "XPATH"}}}},
		"SQL92":               {driver.SubscriptionConfig{Topics: []driver.TopicFilter{{Topic: "t", Type: driver.ExpressionSQL, Expression: "a > 1"}}}, true},
		"tag \"标签\"":          {driver.SubscriptionConfig{Topics: []driver.TopicFilter{{Topic: "t", Expression: "a || 标签"}}}, true},
		"PullBatch":           {driver.SubscriptionConfig{Topics: topic, PullBatch: 1025}, true},
		"MaxUnsettled":        {driver.SubscriptionConfig{Topics: topic, MaxUnsettled: 65536}, true},
		"MaxUnsettledBytes":   {driver.SubscriptionConfig{Topics: topic, MaxUnsettledBytes: 2 << 30}, true},
		"MaxUnsettledBytes 1": {driver.SubscriptionConfig{Topics: topic, MaxUnsettledBytes: 1}, true},
		"MaxSpan":             {driver.SubscriptionConfig{Topics: topic, MaxSpan: 65536}, true},
		"SuspendTimeout":      {driver.SubscriptionConfig{Topics: topic, SuspendTimeout: time.Second}, true},
		"CommitInterval":      {driver.SubscriptionConfig{Topics: topic, CommitInterval: time.Second}, true},
		"Ordered":             {driver.SubscriptionConfig{Topics: topic, Ordered: true}, true},
		"Broadcast":           {driver.SubscriptionConfig{Topics: topic, Broadcast: new(driver.Broadcast)}, true},
		"ExactRetries":        {driver.SubscriptionConfig{Topics: topic, ExactRetries: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Group = "group"
			_, err := new(client).checkSubscription(c.cfg)
			if err == nil || errors.Is(err, message.ErrUnsupported) != c.unsupported {
				t.Fatalf("error %v; unsupported: want %t", err, c.unsupported)
			}
			if c.unsupported && !strings.Contains(err.Error(), name) {
				t.Errorf("error %q does not name %s", err, name)
			}
		})
	}
	if _, err := new(client).checkSubscription(driver.SubscriptionConfig{Group: "a b", Topics: topic}); !errors.Is(err, message.ErrInvalidGroup) {
		t.Errorf("error %v, want ErrInvalidGroup", err)
	}
	cfg, err := new(client).checkSubscription(driver.SubscriptionConfig{Group: "g", Topics: []driver.TopicFilter{{Topic: "t", Expression: "a || b"}, {Topic: "u", Expression: "*"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := driver.SubscriptionConfig{
		Group: "g", Topics: cfg.Topics, PullBatch: 32, MaxUnsettled: 1000, MaxUnsettledBytes: 100 << 20, MaxSpan: 2000,
		MaxRetries: 16, SuspendTimeout: 20 * time.Second, CommitInterval: 5 * time.Second,
	}
	if diff := cmp.Diff(want, cfg); diff != "" {
		t.Errorf("defaults (-want +got)\n%s", diff)
	}
}

// The texts are those of v2.1.2's internal/client.go and producer/producer.go;
// the cases on servers show that they are what it says.
func TestErrorsOfClientGoAreTold(t *testing.T) {
	t.Parallel()
	q := message.Queue{Topic: "t", Broker: "b"}
	dial := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 10911}, Err: errors.New("refused")}
	for name, c := range map[string]struct {
		in   error
		want error // the sentinel
		safe bool
		text string
	}{
		"not running":      {clienterrors.ErrNotRunning, message.ErrClosed, true, ""},
		"shut down":        {clienterrors.ErrService, message.ErrClosed, true, ""},
		"dial":             {fmt.Errorf("wrapped: %w", dial), message.ErrUnreachable, true, "10.0.0.1:10911"},
		"no queue's route": {errors.New("the topic=t route info not found"), message.ErrUnreachable, true, "broker b"},
		"no address":       {errors.New("topic=t route info not found"), message.ErrUnreachable, true, "broker b"},
		"busy":             {errors.New("CODE: 2, DESC: [TIMEOUT_CLEAN_QUEUE]"), nil, true, "SYSTEM_BUSY (2) from broker b: [TIMEOUT_CLEAN_QUEUE]; the broker is overloaded"},
		"other code":       {errors.New("CODE: 4711, DESC: "), nil, true, "code 4711 (4711)"},
		"no code":          {errors.New("CODE: x, DESC: y"), message.ErrOutcomeUnknown, false, ""},
		"half a code":      {errors.New("CODE: 1"), message.ErrOutcomeUnknown, false, ""},
		"time-out":         {clienterrors.ErrRequestTimeout, message.ErrOutcomeUnknown, false, "request timeout"},
		"write":            {&net.OpError{Op: "write", Err: errors.New("broken pipe")}, message.ErrOutcomeUnknown, false, "broken pipe"},
		"another topic's":  {errors.New("topic=u route info not found"), message.ErrOutcomeUnknown, false, ""},
		"end of file":      {io.EOF, message.ErrOutcomeUnknown, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := sendError("send to topic t", q, c.in)
			if c.want != nil && !errors.Is(err, c.want) || message.SafeToRetry(err) != c.safe || !strings.Contains(err.Error(), c.text) || !strings.HasPrefix(err.Error(), "send to topic t") && c.want != message.ErrUnreachable {
				t.Errorf("%v (safe to retry: %t); want %v with %q, safe: %t", err, message.SafeToRetry(err), c.want, c.text, c.safe)
			}
			var refusal *message.BrokerError
			if isRefusal := errors.As(err, &refusal); isRefusal != (c.want == nil) {
				t.Errorf("%v: a broker's refusal: %t", err, isRefusal)
			}
		})
	}
}

func TestIDsAreUniqueAboveClientGosLimit(t *testing.T) {
	t.Parallel()
	const n = 200_000 // rocketmq-client-go's own repeat after 65,536 in a second
	g := newIDs()
	seen := make(map[string]bool, n)
	for range n {
		id := g.next()
		if len(id) != 32 || strings.Trim(id, "0123456789ABCDEF") != "" {
			t.Fatalf("id %q, want 32 hexadecimal digits", id)
		}
		if seen[id] {
			t.Fatalf("id %s came twice within %d", id, len(seen)+1)
		}
		seen[id] = true
	}
	if a, b := newIDs().next(), newIDs().next(); a[:20] == b[:20] {
		t.Errorf("two drivers have one origin: %s and %s", a, b)
	}
}

func TestDelaysAreRoundedUpToALevel(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{
		time.Millisecond: 1, time.Second: 1, time.Second + 1: 2, 10 * time.Second: 3, 11 * time.Minute: 15, 2 * time.Hour: 18, 3 * time.Hour: 18,
	} {
		if got := levelFor(d); got != want {
			t.Errorf("%s: level %d, want %d", d, got, want)
		}
	}
}

func TestStoreHostIsReadFromOffsetIDs(t *testing.T) {
	t.Parallel()
	const v4 = "7F00000100002A9F000000000000007B"
	v6 := "20010DB8000000000000000000000001" + "00002A9F" + "000000000000007B"
	for id, want := range map[string]string{
		v4: "127.0.0.1:10911", v4 + "," + v4: "127.0.0.1:10911", v6: "[2001:db8::1]:10911", v6 + "," + v6: "[2001:db8::1]:10911",
		"": "", v4[:30]: "", "x" + v4[1:]: "",
	} {
		if got := addrOf(id); got != want {
			t.Errorf("address of %q is %q, want %q", id, got, want)
		}
	}
}

func FuzzStoreHost(f *testing.F) {
	f.Add("7F00000100002A9F000000000000007B")
	f.Add("20010DB8000000000000000000000001" + "00002A9F" + "000000000000007B,")
	f.Fuzz(func(t *testing.T, id string) {
		if host := storeHost(id); host.IsValid() {
			if _, err := netip.ParseAddrPort(host.String()); err != nil {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}

func TestBodiesThatClientGoCouldNotDecompressAreFound(t *testing.T) {
	t.Parallel()
	var deflated bytes.Buffer
	w := zlib.NewWriter(&deflated)
	if _, err := w.Write([]byte("plain text")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	stored := func(b []byte) int32 { return int32(crc32.ChecksumIEEE(b) & 0x7FFFFFFF) }
	const lz4 = 1 | 1<<8 // MessageSysFlag.COMPRESSED_FLAG with COMPRESSION_LZ4_TYPE
	for name, c := range map[string]struct {
		m    *primitive.MessageExt
		want bool
	}{
		"not compressed":      {&primitive.MessageExt{Message: primitive.Message{Body: []byte("x")}, BodyCRC: stored([]byte("x"))}, true},
		"decompressed":        {&primitive.MessageExt{Message: primitive.Message{Body: []byte("plain text")}, SysFlag: 1, BodyCRC: stored(deflated.Bytes())}, true},
		"handed on as it was": {&primitive.MessageExt{Message: primitive.Message{Body: []byte("lz4 bytes")}, SysFlag: lz4, BodyCRC: stored([]byte("lz4 bytes"))}, false},
	} {
		if got := readable(c.m); got != c.want {
			t.Errorf("%s: readable %t, want %t", name, got, c.want)
		}
	}
}

func TestRawPropertiesLeaveOutWhatDidNotTravel(t *testing.T) {
	t.Parallel()
	got := rawProperties(map[string]string{
		"b": "2", "a": "1", "MIN_OFFSET": "0", "MAX_OFFSET": "9", "CONSUME_START_TIME": "1", propLetter: "yes", propOrigin: "orders",
	})
	if want := "RETRY_TOPIC\x01orders\x02a\x011\x02b\x012\x02"; got != want {
		t.Errorf("properties %q, want %q", got, want)
	}
}

func TestOwnedQueuesEndWhenTheyAreNotSharedOutAgain(t *testing.T) {
	t.Parallel()
	o := newOwned()
	q := func(topic string, id int) message.Queue { return message.Queue{Topic: topic, Broker: "b", ID: id} }
	share := func(topic string, queues ...message.Queue) {
		for _, end := range o.share(t.Context(), topic, queues) {
			end()
		}
	}
	share("t", q("t", 0), q("t", 1))
	share("u", q("u", 0))
	zero, one, other := o.context(q("t", 0)), o.context(q("t", 1)), o.context(q("u", 0))
	share("t", q("t", 1))
	if zero.Err() == nil || one.Err() != nil || other.Err() != nil {
		t.Errorf("ctxs %v, %v, %v; want the first ended", zero.Err(), one.Err(), other.Err())
	}
	if o.context(q("t", 0)) != nil {
		t.Error("a queue that was taken away is still owned")
	}
	share("t", q("t", 0), q("t", 1))
	if again := o.context(q("t", 0)); again == nil || again.Err() != nil || o.context(q("t", 1)) != one {
		t.Error("a queue that comes back has no new ctx, or one that stayed has")
	}
}
