package brokerlite

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conn is a raw connection to a broker.
func dialBroker(t testing.TB, b *Broker, addr string) *remoting.Conn {
	t.Helper()
	nc, err := b.Dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := remoting.NewConn(nc, remoting.Options{})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-c.Done()
	})
	return c
}

func start(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	b, err := Start(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestSendsAndPulls(t *testing.T) {
	t.Parallel()
	b := start(t, InMemory())
	c := dialBroker(t, b, b.Addr())
	cmd := protocol.Command{Code: protocol.SendMessageV2, Version: protocol.ClientVersion, Codec: protocol.Binary}
	h := protocol.SendRequest{Code: protocol.SendMessageV2, ProducerGroup: "pg", Topic: "orders", DefaultTopic: protocol.DefaultTopic, DefaultTopicQueueNums: 4, BornTimestamp: time.Now().UnixMilli()}
	resp, err := c.Call(t.Context(), &cmd, &h, []byte("hello"))
	if err != nil || resp.Code != 0 {
		t.Fatal(resp, err)
	}
	t.Log(resp.Fields)
	cmd = protocol.Command{Code: protocol.PullMessage, Version: protocol.ClientVersion}
	resp, err = c.Call(t.Context(), &cmd, &protocol.PullRequest{ConsumerGroup: "cg", Topic: "orders", MaxMessages: 32, SysFlag: protocol.PullSubscription, Subscription: "*"})
	if err != nil || resp.Code != 0 {
		t.Fatal(resp, err)
	}
	var r protocol.Record
	if _, err := protocol.DecodeRecord(resp.Body, &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v %q", r, r.Properties)
}
