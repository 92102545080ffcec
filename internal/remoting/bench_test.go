package remoting

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// echo answers as a broker answers a send, at once.
func echo(c *Conn, cmd *protocol.Command) {
	resp := cmd.Response(protocol.Success, "")
	_ = c.Reply(&resp, &echoHeader)
}

var echoHeader = protocol.SendResponse{MessageID: "7F00000100002A9F00000000000000FF", QueueID: 2, QueueOffset: 12345}

// sendRequest is a request of about 300 bytes.
func sendRequest() (*protocol.Command, *protocol.SendRequest) {
	return &protocol.Command{Codec: protocol.Binary, Code: protocol.SendMessageV2, Language: protocol.LanguageGo, Version: protocol.ClientVersion, Body: make([]byte, 32)},
		&protocol.SendRequest{
			Code: protocol.SendMessageV2, ProducerGroup: "pay_group", Topic: "pay_test_topic", DefaultTopic: protocol.DefaultTopic,
			DefaultTopicQueueNums: 4, QueueID: 2, BornTimestamp: 1700000000000,
			Properties: []byte("UNIQ_KEY\x01C0A80001000018B4AAC22345678900AB\x02WAIT\x01true\x02TAGS\x01tag1\x02"), BrokerName: "broker-a",
		}
}

// overTCP starts an echo server on loopback TCP and connects to it.
func overTCP(b *testing.B) *Conn {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := NewServer(ServerOptions{Options: Options{Handler: echo}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c := NewClient(ClientOptions{})
	conn, err := c.Conn(context.Background(), l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			b.Error(err)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return conn
}

func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			conn := overTCP(b)
			ctx := context.Background()
			b.ReportAllocs()
			var left atomic.Int64
			run := func() {
				cmd, h := sendRequest()
				for left.Add(-1) >= 0 {
					if _, err := conn.Call(ctx, cmd, h); err != nil {
						b.Error(err)
						return
					}
				}
			}
			const round = 4096
			n := 0
			for b.Loop() {
				if n++; n%round != 1 {
					continue
				}
				left.Store(round)
				var wg sync.WaitGroup
				for range callers {
					wg.Go(run)
				}
				wg.Wait()
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
