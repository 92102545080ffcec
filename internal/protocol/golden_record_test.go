package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

type recordValues struct {
	Magic                     string            `json:"magic"`
	BodyCRC                   uint32            `json:"bodyCRC"`
	QueueID                   int32             `json:"queueId"`
	Flag                      int32             `json:"flag"`
	QueueOffset               int64             `json:"queueOffset"`
	PhysicalOffset            int64             `json:"physicalOffset"`
	SysFlag                   int32             `json:"sysFlag"`
	BornTimestamp             int64             `json:"bornTimestamp"`
	BornHost                  netip.Addr        `json:"bornHost"`
	BornPort                  uint16            `json:"bornPort"`
	StoreTimestamp            int64             `json:"storeTimestamp"`
	StoreHost                 netip.Addr        `json:"storeHost"`
	StorePort                 uint16            `json:"storePort"`
	ReconsumeTimes            int32             `json:"reconsumeTimes"`
	PreparedTransactionOffset int64             `json:"preparedTransactionOffset"`
	Body                      hexBytes          `json:"bodyHex"`
	Topic                     string            `json:"topic"`
	PropertiesString          string            `json:"propertiesString"`
	Properties                map[string]string `json:"properties"`
	OffsetMessageID           string            `json:"offsetMsgId"`
}

func (v *recordValues) record() Record {
	return Record{
		QueueID: v.QueueID, Flag: v.Flag, QueueOffset: v.QueueOffset, PhysicalOffset: v.PhysicalOffset, SysFlag: v.SysFlag,
		BornTimestamp: v.BornTimestamp, BornHost: netip.AddrPortFrom(v.BornHost, v.BornPort),
		StoreTimestamp: v.StoreTimestamp, StoreHost: netip.AddrPortFrom(v.StoreHost, v.StorePort),
		ReconsumeTimes: v.ReconsumeTimes, PreparedTransactionOffset: v.PreparedTransactionOffset,
		Body: v.Body, Topic: v.Topic, Properties: []byte(v.PropertiesString), BodyCRC: v.BodyCRC,
	}
}

var recordDiff = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.IgnoreFields(Record{}, "Size")}

// checkRecord reads one record of Apache's from the front of data, compares it
// with what went in and returns the rest.
func checkRecord(t *testing.T, v *recordValues, data []byte, exact bool) []byte {
	t.Helper()
	var got Record
	size, err := DecodeRecord(data, &got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.record(), got, recordDiff); diff != "" {
		t.Errorf("record read (-Java +ours):\n%s", diff)
	}
	if diff := cmp.Diff(v.Properties, PropertiesMap(got.Properties), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("properties (-Java +ours):\n%s", diff)
	}
	if v.OffsetMessageID != "" && OffsetMessageID(got.StoreHost, got.PhysicalOffset) != v.OffsetMessageID {
		t.Errorf("offset message id %s, Java says %s", OffsetMessageID(got.StoreHost, got.PhysicalOffset), v.OffsetMessageID)
	}
	if exact {
		if err := got.VerifyBody(); err != nil {
			t.Error(err)
		}
		r := v.record()
		written, err := AppendRecord(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(written, data[:size]) {
			t.Errorf("written:\n got %x\nJava %x", written, data[:size])
		}
	}
	return data[size:]
}

func TestRecordsOfApacheAreReadAndWritten(t *testing.T) {
	t.Parallel()
	eachGolden(t, "record", "", func(t *testing.T, g *goldenCase) {
		var v recordValues
		g.values(t, &v)
		// In the compressed cases Java's checksum is of the plain body.
		if rest := checkRecord(t, &v, g.data, g.Bytes == "exact"); len(rest) > 0 {
			t.Errorf("%d bytes left", len(rest))
		}
	})
}

func TestThePullBodyOfApacheIsReadRecordByRecord(t *testing.T) {
	t.Parallel()
	eachGolden(t, "records", "records-pull-body", func(t *testing.T, g *goldenCase) {
		var v struct {
			Records []recordValues `json:"records"`
		}
		g.values(t, &v)
		rest := g.data
		for i := range v.Records {
			rest = checkRecord(t, &v.Records[i], rest, true)
		}
		if len(v.Records) < 2 || len(rest) > 0 {
			t.Errorf("%d records, %d bytes left", len(v.Records), len(rest))
		}
	})
}

type batchValues struct {
	Messages []struct {
		Flag             int32    `json:"flag"`
		Body             hexBytes `json:"bodyHex"`
		PropertiesString string   `json:"propertiesString"`
	} `json:"messages"`
}

func TestTheBatchOfApacheIsReadAndWritten(t *testing.T) {
	t.Parallel()
	eachGolden(t, "batch", "", func(t *testing.T, g *goldenCase) {
		var v batchValues
		g.values(t, &v)
		var want, got []BatchEntry
		var written []byte
		for _, m := range v.Messages {
			e := BatchEntry{Flag: m.Flag, Body: m.Body, Properties: []byte(m.PropertiesString)}
			want = append(want, e)
			before := len(written)
			var err error
			if written, err = AppendBatchEntry(written, &e); err != nil {
				t.Fatal(err)
			}
			if n := len(written) - before; n != BatchEntrySize(len(e.Body), len(e.Properties)) {
				t.Errorf("BatchEntrySize is wrong for %d bytes", n)
			}
		}
		for rest := g.data; len(rest) > 0; {
			var e BatchEntry
			n, err := DecodeBatchEntry(rest, &e)
			if err != nil {
				t.Fatal(err)
			}
			got, rest = append(got, e), rest[n:]
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("batch read (-Java +ours):\n%s", diff)
		}
		if !bytes.Equal(written, g.data) {
			t.Errorf("written:\n got %x\nJava %x", written, g.data)
		}
	})
}

// The store turns each entry of a batch into a record of its own.
func TestABatchBecomesTheRecordsThatApacheStores(t *testing.T) {
	t.Parallel()
	var batch goldenCase
	for _, c := range golden(t, "batch", "batch-three") {
		if c.is5() {
			batch = c
		}
	}
	eachGolden(t, "records", "records-store-batch", func(t *testing.T, g *goldenCase) {
		if !g.is5() {
			return // 4.9 also copies the request's properties into each message
		}
		var v recordValues
		g.values(t, &v)
		var written []byte
		for rest := batch.data; len(rest) > 0; {
			var e BatchEntry
			n, err := DecodeBatchEntry(rest, &e)
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
			r := v.record()
			r.Flag, r.Body, r.Properties = e.Flag, e.Body, e.Properties
			if written, err = AppendRecord(written, &r); err != nil {
				t.Fatal(err)
			}
		}
		// Java's encoder leaves the store's own fields to the append, as ours does.
		for rest := written; len(rest) > 0; {
			size, _, err := RecordSize(rest)
			if err != nil {
				t.Fatal(err)
			}
			PlaceRecord(rest, 0, 0, v.StoreTimestamp)
			rest = rest[size:]
		}
		if !bytes.Equal(written, g.data) {
			t.Errorf("written:\n got %x\nJava %x", written, g.data)
		}
	})
}

func TestMalformedBatchEntriesAreRefused(t *testing.T) {
	t.Parallel()
	good, err := AppendBatchEntry(nil, &BatchEntry{Body: []byte("body"), Properties: []byte("a\x01b\x02")})
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, b ...byte) []byte {
		c := append(bytes.Clone(good), 0)
		copy(c[at:], b)
		return c
	}
	for name, b := range map[string][]byte{
		"empty":               {},
		"cut":                 good[:len(good)-1],
		"below the least":     change(0, 0, 0, 0, 21),
		"negative size":       change(0, 0xff, 0xff, 0xff, 0xff),
		"one too large":       change(0, 0, 0, 0, byte(len(good)+1)),
		"one too small":       change(0, 0, 0, 0, byte(len(good)-1)),
		"body too long":       change(16, 0, 0, 0, 99),
		"negative body":       change(16, 0xff, 0xff, 0xff, 0xff),
		"negative properties": change(24, 0xff, 0xff),
	} {
		if n, err := DecodeBatchEntry(b, new(BatchEntry)); !errors.Is(err, ErrMalformedBody) || n != 0 {
			t.Errorf("%s: got %d and %v, want ErrMalformedBody", name, n, err)
		}
	}
	if b, err := AppendBatchEntry([]byte("kept"), &BatchEntry{Properties: make([]byte, 32768)}); !errors.Is(err, ErrPropertiesTooLong) || string(b) != "kept" {
		t.Errorf("long properties: got %d bytes, %v", len(b), err)
	}
	if b, err := AppendBatchEntry([]byte("kept"), &BatchEntry{Body: make([]byte, MaxFrameSize)}); !errors.Is(err, ErrFrameTooLarge) || string(b) != "kept" {
		t.Errorf("long body: got %d bytes, %v", len(b), err)
	}
}

func TestPlacingARecordChangesOnlyWhatTheCommitLogKnows(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"10.0.0.1:1", "[2001:db8::1]:2"} {
		r := Record{QueueID: 3, BornHost: netip.MustParseAddrPort(host), StoreHost: netip.MustParseAddrPort("127.0.0.1:10911"), Topic: "t", Body: []byte("b")}
		rec, err := AppendRecord([]byte("before"), &r)
		if err != nil {
			t.Fatal(err)
		}
		rec = rec[len("before"):]
		PlaceRecord(rec, 7, 1<<40, 1700000000123)
		want := r
		want.QueueOffset, want.PhysicalOffset, want.StoreTimestamp, want.BodyCRC = 7, 1<<40, 1700000000123, BodyCRC([]byte("b"))
		var got Record
		if _, err := DecodeRecord(rec, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, recordDiff); diff != "" {
			t.Errorf("%s (-want +got):\n%s", host, diff)
		}
	}
}

func TestARecordThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	for want, r := range map[error]*Record{
		ErrTopicTooLong:      {Topic: string(make([]byte, 32768))},
		ErrPropertiesTooLong: {Topic: "t", Properties: make([]byte, 32768)},
	} {
		got, err := AppendRecord([]byte("kept"), r)
		if !errors.Is(err, want) || string(got) != "kept" {
			t.Errorf("got %d bytes and %v, want %v", len(got), err, want)
		}
	}
}

func TestMalformedRecordsAreRefused(t *testing.T) {
	t.Parallel()
	r := Record{Topic: "TopicTest", Body: []byte("body"), Properties: []byte("TAGS\x01a\x02")}
	good, err := AppendRecord(nil, &r)
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, hexText string) []byte {
		b := bytes.Clone(good)
		p, err := hex.DecodeString(hexText)
		if err != nil {
			t.Fatal(err)
		}
		copy(b[at:], p)
		return b
	}
	for name, b := range map[string][]byte{
		"empty":                     {},
		"only a size":               good[:4],
		"cut in the body":           good[:90],
		"a blank":                   change(4, "cbd43194"),
		"another magic":             change(4, "daa320a8"),
		"size below the least":      change(0, "0000005a"),
		"negative size":             change(0, "ffffffff"),
		"size one too small":        change(0, "0000006e"),
		"size one too large":        append(change(0, "00000070"), 0),
		"body longer than the rest": change(84, "00ffffff"),
		"negative body":             change(84, "ffffffff"),
		"topic longer than rest":    change(92, "ff"),
		"negative properties":       change(102, "ffff"),
		"port above 65535":          change(52, "00010000"),
		"v6 bit without room":       change(36, "00000010"),
	} {
		if n, err := DecodeRecord(b, new(Record)); !errors.Is(err, ErrMalformedRecord) || n != 0 {
			t.Errorf("%s: got %d and %v, want ErrMalformedRecord", name, n, err)
		}
	}
	flipped := change(88, "00")
	var got Record
	if _, err := DecodeRecord(flipped, &got); err != nil {
		t.Fatal(err)
	}
	if err := got.VerifyBody(); !errors.Is(err, ErrMalformedRecord) {
		t.Errorf("a changed body: got %v", err)
	}
}

// unmapped is r with v4 hosts that were written as v6 ones made v4.
func unmapped(r Record) Record {
	r.BornHost = netip.AddrPortFrom(r.BornHost.Addr().Unmap(), r.BornHost.Port())
	r.StoreHost = netip.AddrPortFrom(r.StoreHost.Addr().Unmap(), r.StoreHost.Port())
	r.normalize()
	return r
}

// A record is read into a variable that has held another one.
func TestDecodedRecordHasItsOwnTopic(t *testing.T) {
	// AllocsPerRun does not go with t.Parallel.
	var r Record
	for _, topic := range []string{"orders", "orders", "orders_2", "o"} {
		b, err := AppendRecord(nil, &Record{Topic: topic, Body: []byte("b")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeRecord(b, &r); err != nil || r.Topic != topic {
			t.Errorf("topic %q (%v), want %q", r.Topic, err, topic)
		}
		if n := testing.AllocsPerRun(10, func() { _, _ = DecodeRecord(b, &r) }); n > 0 {
			t.Errorf("%v allocations for a topic that is there", n)
		}
	}
}
