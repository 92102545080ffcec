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
	_ = c.Reply(&resp, &echoHeader) // the peer may be gone
}

// echoHeader is never changed.
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

// overTCP starts a server on loopback TCP and connects to it.
func overTCP(t testing.TB, h Handler) *Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ServerOptions{Options: Options{Handler: h}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c := NewClient(ClientOptions{})
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn, err := c.Conn(context.Background(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// BenchmarkCall: callers that each wait for their answer share one connection to
// an echo server on loopback TCP.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			conn := overTCP(b, echo)
			ctx := context.Background()
			const round = 4096 // calls that are shared out at a time
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
			b.ReportAllocs()
			calls := 0
			for b.Loop() {
				left.Store(round)
				var wg sync.WaitGroup
				for range callers {
					wg.Go(run)
				}
				wg.Wait()
				calls += round
			}
			report(b, calls)
		})
	}
}

// BenchmarkStart: one goroutine keeps 1024 calls in flight.
func BenchmarkStart(b *testing.B) {
	conn := overTCP(b, echo)
	const inFlight = 1024
	free := make(chan struct{}, inFlight)
	done := CompletionFunc(func(_ *protocol.Command, err error) {
		if err != nil {
			b.Error(err)
		}
		<-free
	})
	cmd, h := sendRequest()
	for name, ctx := range map[string]func() context.Context{
		"background":   context.Background,
		"with timeout": func() context.Context { return WithTimeout(context.Background(), 3e9) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			calls := 0
			for b.Loop() {
				free <- struct{}{}
				conn.Start(ctx(), cmd, h, done)
				calls++
			}
			for range inFlight {
				free <- struct{}{}
			}
			for range inFlight {
				<-free
			}
			report(b, calls)
		})
	}
}

// report says how many calls were made a second.
func report(b *testing.B, calls int) {
	b.ReportMetric(float64(calls)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(calls), "ns/call")
}
