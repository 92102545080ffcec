package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// FuzzRecovery opens stores whose commit log was changed at will. Whatever it
// holds, Open ends with a whole store or a CorruptionError that names a file;
// nothing panics, and what was repaired stays as it is.
func FuzzRecovery(f *testing.F) {
	base := closed(f, Options{SegmentSize: 1500}, func(s *Store) {
		for i := range 12 {
			mustPut(f, s, "orders", int32(i%2), "t", fmt.Sprint(i, strings.Repeat("x", 30*i)))
		}
	})
	f.Add(int64(0), []byte{0}, int64(-1), false)
	f.Add(int64(100), []byte("xxxxxxxx"), int64(-1), true)
	f.Add(int64(1500), []byte{0x7F, 0xFF, 0xFF, 0xFF, 0xDA, 0xA3, 0x20, 0xA7}, int64(-1), false)
	f.Add(int64(1500), []byte{0, 0, 5, 0xDC, 0xCB, 0xD4, 0x31, 0x94}, int64(-1), true)
	f.Add(int64(2000), []byte{}, int64(1700), true)
	f.Add(int64(3000), make([]byte, 600), int64(-1), false)
	f.Fuzz(func(t *testing.T, at int64, data []byte, cut int64, keepState bool) {
		if len(data) > 4096 {
			return
		}
		fs := base.Clone()
		if !keepState {
			removeDerived(t, Options{FS: fs, Dir: testDir})
		}
		firsts, err := listOffsets(fs, strings.TrimSuffix(logPath(0), offsetName(0)))
		if err != nil {
			t.Fatal(err)
		}
		for _, first := range firsts {
			edit(t, fs, logPath(first), func(file vfs.File) {
				if off := at - first; off >= 0 && off < 1500 {
					if _, err := file.WriteAt(data, off); err != nil {
						t.Fatal(err)
					}
				}
				if off := cut - first; off >= 0 && off < 1500 {
					if err := file.Truncate(off); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
		o := Options{FS: fs, Dir: testDir, SegmentSize: 1500}
		s, err := Open(context.Background(), o)
		var damage *CorruptionError
		if err != nil {
			if !errors.As(err, &damage) || damage.Segment == "" {
				t.Fatalf("Open: %v, want a CorruptionError", err)
			}
			return
		}
		recoveredOnce, err := listStored(s)
		if err != nil && !keepState { // damage before the checkpoint shows when it is read
			t.Fatal(err)
		}
		if !keepState {
			if err := checkConsistent(s); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, s)
		s = openStore(t, o)
		again, _ := listStored(s)
		if fmt.Sprint(again) != fmt.Sprint(recoveredOnce) {
			t.Fatalf("%d records were recovered, %d are there when opened again", len(recoveredOnce), len(again))
		}
		mustClose(t, s)
	})
}

// FuzzCheckRecord holds the check of appends against the decoder: what one
// passes, the other must take, or recovery would cut it off.
func FuzzCheckRecord(f *testing.F) {
	v6 := netip.MustParseAddrPort("[2001:db8::1]:10911")
	for _, r := range []protocol.Record{
		{Topic: "orders", QueueID: 3, Body: []byte("body"), Properties: []byte("TAGS\x01a\x02"), BornHost: testHost, StoreHost: testHost},
		{Topic: "orders", QueueID: 3, BornHost: v6, StoreHost: testHost},
		{Topic: "orders", QueueID: 3, Body: make([]byte, 300), BornHost: testHost, StoreHost: v6},
		{Topic: strings.Repeat("t", 200), QueueID: 3, BornHost: v6, StoreHost: v6},
	} {
		b, err := protocol.AppendRecord(nil, &r)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := checkRecord(b, r.Topic, r.QueueID); err != nil {
			f.Fatal(err)
		}
		f.Add(b, r.Topic, r.QueueID)
	}
	f.Fuzz(func(t *testing.T, b []byte, topic string, queueID int32) {
		size, err := checkRecord(b, topic, queueID)
		if err != nil {
			return
		}
		var r protocol.Record
		n, err := protocol.DecodeRecord(b, &r)
		if err != nil || n != size || r.Topic != topic || r.QueueID != queueID {
			t.Fatalf("checked: %d bytes; decoded: %d bytes of topic %q queue %d, %v", size, n, r.Topic, r.QueueID, err)
		}
	})
}
