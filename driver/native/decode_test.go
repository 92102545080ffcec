package native

import (
	"bytes"
	"compress/zlib"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

func props(s string) []byte {
	return []byte(strings.NewReplacer("=", "\x01", ";", "\x02").Replace(s))
}

func zipped(t testing.TB, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	if _, err := w.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzPullBody feeds arbitrary bytes to the reader of pull answers: nothing may
// panic, and nothing may be delivered twice or out of order.
func FuzzPullBody(f *testing.F) {
	host := netip.MustParseAddrPort("10.0.0.1:10911")
	var two []byte
	for i := range int64(2) {
		rec := protocol.Record{Topic: "t", Body: []byte("body"), QueueOffset: i, Properties: props("UNIQ_KEY=ID;TAGS=a;"), BornHost: host, StoreHost: host}
		two, _ = protocol.AppendRecord(two, &rec)
	}
	rec := protocol.Record{Topic: "t", Body: zipped(f, "body"), SysFlag: protocol.SysCompressed, QueueOffset: 3, BornHost: host, StoreHost: host}
	zip, _ := protocol.AppendRecord(nil, &rec)
	// Written in 16 bytes, and yet IPv4.
	mapped, _ := protocol.AppendRecord(nil, &protocol.Record{Topic: "t", Body: []byte("body"), QueueOffset: 2, Properties: props("TAGS=a;"), StoreHost: netip.MustParseAddrPort("[2001:db8::1]:1")})
	mapped = bytes.Replace(mapped, netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("::ffff:1.2.3.4").AsSlice(), 1)
	f.Add(append(mapped, zip...))
	f.Add(two)
	f.Add(two[:len(two)-3])
	f.Add(append(bytes.Clone(two), zip...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		s := &subscription{cfg: subscriptionDefaults(driver.SubscriptionConfig{Group: "g"})}
		q := &queue{s: s, mq: message.Queue{Topic: "t"}, next: 1, f: &filter{tags: map[string]struct{}{"a": {}}}}
		b := newBatch(q, body)
		err := b.decode()
		last := int64(-1)
		for _, d := range b.out {
			if d.QueueOffset <= last || d.QueueOffset < q.next || d.Tag != "a" {
				t.Errorf("delivered offset %d with tag %q after %d", d.QueueOffset, d.Tag, last)
			}
			if host, _, err := protocol.ParseOffsetMessageID(d.OffsetID); err != nil || host != d.StoreHost && !d.StoreHost.Addr().Is4In6() && d.StoreHost.Addr().IsValid() {
				t.Errorf("the offset id %q at %s: %v", d.OffsetID, d.StoreHost, err)
			}
			last = d.QueueOffset
		}
		if len(b.out)+len(b.unreadable) != q.win.live {
			t.Errorf("%d delivered and %d unreadable, but %d in the window", len(b.out), len(b.unreadable), q.win.live)
		}
		if err != nil && !errors.Is(err, protocol.ErrMalformedRecord) {
			t.Errorf("error %v", err)
		}
	})
}
