package brokerlite

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// caller sends one message after another over a shared connection.
type caller struct {
	conn *remoting.Conn
	cmd  protocol.Command
	h    protocol.SendRequest
	body []byte
}

func newCaller(c *remoting.Conn, topic string, queueID int32, body []byte) *caller {
	return &caller{conn: c, body: body, h: protocol.SendRequest{
		Code: protocol.SendMessageV2, ProducerGroup: "bench", Topic: topic, DefaultTopic: protocol.DefaultTopic, DefaultTopicQueueNums: 4,
		QueueID: queueID, Properties: []byte("UNIQ_KEY\x017F00000165CED883EA6867C5DA480000\x02WAIT\x01true\x02TAGS\x01tag1\x02KEYS\x011234\x02"),
	}}
}

func (s *caller) send(ctx context.Context) error {
	s.cmd = protocol.Command{Code: protocol.SendMessageV2, Codec: protocol.Binary, Language: protocol.LanguageGo, Version: protocol.ClientVersion}
	s.h.BornTimestamp = time.Now().UnixMilli()
	resp, err := s.conn.Call(ctx, &s.cmd, &s.h, s.body)
	if err == nil && resp.Code != protocol.Success {
		err = fmt.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
	}
	return err
}

// BenchmarkSend sends messages of 128 bytes over one connection of the loopback
// interface, with the store on the disk and asynchronous flushing.
func BenchmarkSend(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := start(b)
			c := dial(b, s).conn
			body := make([]byte, 128)
			if err := newCaller(c, "bench", 0, body).send(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					s := newCaller(c, "bench", int32(i%4), body)
					for left.Add(-1) >= 0 {
						if err := s.send(context.Background()); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkPull pulls what was sent, 32 messages at a time as Java's clients do,
// over one connection of the loopback interface.
func BenchmarkPull(b *testing.B) {
	s := start(b)
	c := dial(b, s).conn
	sender := newCaller(c, "bench", 0, make([]byte, 128))
	const messages = 4096
	for range messages {
		if err := sender.send(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	pulled := 0
	h := protocol.PullRequest{ConsumerGroup: "bench", Topic: "bench", MaxMessages: 32, SysFlag: protocol.PullSubscription, Subscription: "*"}
	for b.Loop() {
		cmd := protocol.Command{Code: protocol.PullMessage, Codec: protocol.Binary, Version: protocol.ClientVersion}
		resp, err := c.Call(b.Context(), &cmd, &h)
		if err != nil || resp.Code != protocol.Success {
			b.Fatal(resp, err)
		}
		var p protocol.PullResponse
		if err := p.DecodeFields(resp.Fields); err != nil {
			b.Fatal(err)
		}
		pulled += int(p.NextBeginOffset - h.QueueOffset)
		if h.QueueOffset = p.NextBeginOffset; h.QueueOffset == messages {
			h.QueueOffset = 0
		}
	}
	b.ReportMetric(float64(pulled)/b.Elapsed().Seconds(), "msg/s")
}
