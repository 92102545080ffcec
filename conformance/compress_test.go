package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// Bits of sysFlag.
const (
	flagCompressed = 1
	flagKind       = 7 << 8 // 1 LZ4, 2 Zstandard, 3 or 0 zlib
)

// long is a body that gets smaller.
func long() []byte { return []byte(strings.Repeat(`{"订单":17,"state":"paid"}`, 400)) }

func compressedBodies(s *stand) {
	c := s.open()
	rigid := []int32{0}
	if s.leg.driver == clientgo.Name { // it packs whatever is over the limit
		rigid = []int32{flagCompressed}
	}
	for _, tt := range []struct {
		name  string
		opts  []producer.Option
		body  []byte
		flags []int32 // of the stored message
	}{
		{"by default", nil, long(), []int32{flagCompressed, flagCompressed | 3<<8}},
		{"up to 4 KiB", nil, long()[:4<<10], []int32{0}},
		{"what does not shrink", nil, noise(8 << 10), rigid},
		{"not at all", []producer.Option{producer.NoCompression()}, long(), []int32{0}},
		{"over 100 bytes", []producer.Option{producer.Compress(driver.Compression{Over: 100, Level: 9})}, long()[:200], []int32{flagCompressed, flagCompressed | 3<<8}},
	} {
		s.Logf("%s", tt.name)
		s.compressed(c, tt.body, tt.flags, tt.opts...)
	}
}

func compressedOtherwise(s *stand) {
	c := s.open()
	for kind, flag := range map[driver.CompressionKind]int32{driver.LZ4: 1 << 8, driver.Zstd: 2 << 8} {
		s.compressed(c, long(), []int32{flagCompressed | flag}, producer.Compress(driver.Compression{Over: 100, Kind: kind}))
	}
}

func compressionRefused(s *stand) {
	_, err := s.open().NewProducer(s.group(), producer.Compress(driver.Compression{Kind: driver.Zstd}))
	if !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "zstd") {
		s.Errorf("%v", err)
	}
}

// compressed sends a body, which arrives as it was, and again after a failure.
func (s *stand) compressed(c interface {
	NewProducer(group string, opts ...producer.Option) (*producer.Producer, error)
	NewConsumer(mux *consumer.Mux, opts ...consumer.GroupOption) (*consumer.Consumer, error)
}, body []byte, flags []int32, opts ...producer.Option) {
	s.Helper()
	topic := s.topic()
	p, err := c.NewProducer(s.group(), opts...)
	if err != nil {
		s.Fatal(err)
	}
	m := message.New(topic, slices.Clone(body))
	s.send(p, m)
	if !bytes.Equal(m.Body, body) {
		s.Error("the message was changed by sending it")
	}
	in := s.inbox()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if d.ReconsumeTimes == 0 {
			in.ch <- d
			return errors.New("not yet")
		}
		return in.take(ctx, d)
	})
	cons, err := c.NewConsumer(mux)
	if err != nil {
		s.Fatal(err)
	}
	if err := cons.Start(s.soon()); err != nil {
		s.Fatal(err)
	}
	for reconsumed := range 2 {
		d := in.next()
		if !bytes.Equal(d.Body, body) || d.ReconsumeTimes != reconsumed {
			s.Errorf("delivery %d: %d bytes of %d, reconsumed %d", reconsumed, len(d.Body), len(body), d.ReconsumeTimes)
		}
		if got := d.SysFlag & (flagCompressed | flagKind); !slices.Contains(flags, got) {
			s.Errorf("delivery %d: stored with flags %#x, want one of %#x", reconsumed, got, flags)
		}
	}
}

// noise is n bytes that do not get smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b) // it never fails
	return b
}
