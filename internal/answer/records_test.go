package answer

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rocketkit/rocketkit/internal/compression"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

func props(s string) []byte {
	return []byte(strings.NewReplacer("=", "\x01", ";", "\x02").Replace(s))
}

func TestDeliveryOfARecord(t *testing.T) {
	t.Parallel()
	store := netip.MustParseAddrPort("10.0.0.1:10911")
	rec := protocol.Record{
		Topic: "orders", Body: []byte("body"), QueueOffset: 9, PhysicalOffset: 1 << 20, StoreHost: store,
		BornTimestamp: 1, StoreTimestamp: 2, ReconsumeTimes: 3, Flag: 4,
	}
	offsetID := protocol.OffsetMessageID(store, 1<<20)
	q := message.Queue{Topic: "orders", Broker: "a", ID: 5}
	tests := []struct {
		name, topic, props string
		want               message.Delivery
	}{
		{"plain", "orders", "UNIQ_KEY=ID;TAGS=a;", message.Delivery{Topic: "orders", ID: "ID", Tag: "a"}},
		{"without a producer's id", "orders", "", message.Delivery{Topic: "orders", ID: offsetID}},
		{"retried", "%RETRY%g", "RETRY_TOPIC=orders;UNIQ_KEY=ID;ORIGIN_MESSAGE_ID=FIRST;", message.Delivery{Topic: "orders", ID: "ID"}},
		{"retried, without a producer's id", "%RETRY%g", "RETRY_TOPIC=orders;ORIGIN_MESSAGE_ID=FIRST;", message.Delivery{Topic: "orders", ID: "FIRST"}},
		{"a dead letter keeps its queue's topic", "%DLQ%g", "RETRY_TOPIC=orders;UNIQ_KEY=ID;", message.Delivery{Topic: "%DLQ%g", ID: "ID"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := rec
			rec.Topic, rec.Properties = tt.topic, props(tt.props)
			want := tt.want
			want.Body, want.OffsetID, want.QueueOffset, want.StoreHost = rec.Body, offsetID, 9, store
			want.BornTimestamp, want.StoreTimestamp, want.ReconsumeTimes, want.Flag = 1, 2, 3, 4
			want.Group, want.Queue = "g", q
			got, err := Delivery(&rec, "g", q)
			if err != nil {
				t.Fatal(err)
			}
			many, err := Deliveries([]protocol.Record{{}, rec}, "g", q)
			if err != nil {
				t.Fatal(err)
			}
			for how, got := range map[string]*message.Delivery{"alone": got, "behind another": many[1]} {
				if diff := cmp.Diff(want, *got, cmpopts.IgnoreUnexported(message.Delivery{}), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
					t.Errorf("%s: %s", how, diff)
				}
				if got.Tag != got.Property(protocol.PropTags) {
					t.Errorf("%s: its tag is %q by its properties", how, got.Property(protocol.PropTags))
				}
			}
		})
	}
}

func TestPackedBodiesAreUnpacked(t *testing.T) {
	t.Parallel()
	packer, err := compression.NewPacker(protocol.SysZlib, 5)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("packed ", 100)
	body, flags, err := packer.Pack(nil, []byte(long))
	if err != nil || flags&protocol.SysCompressed == 0 {
		t.Fatalf("flags %#x, %v", flags, err)
	}
	good := protocol.Record{Topic: "orders", Body: body, SysFlag: flags}
	bad := protocol.Record{Topic: "orders", Body: []byte("nonsense"), SysFlag: flags, QueueOffset: 7, Properties: props("UNIQ_KEY=ID;")}
	d, err := Delivery(&good, "", message.Queue{})
	if err != nil || string(d.Body) != long {
		t.Errorf("%q, %v", d.Body, err)
	}
	if _, err := Delivery(&bad, "", message.Queue{}); err == nil || !strings.Contains(err.Error(), "message ID at offset 7") {
		t.Errorf("a body that cannot be read: %v", err)
	}
	ds, err := Deliveries([]protocol.Record{good, bad, good}, "", message.Queue{})
	if err == nil || len(ds) != 1 || string(ds[0].Body) != long {
		t.Errorf("%d deliveries up to a body that cannot be read, %v", len(ds), err)
	}
}
