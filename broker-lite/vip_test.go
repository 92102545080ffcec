package brokerlite

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestTheVIPChannelServesToo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixed := []Option{InMemory(), VirtualNetwork(NewNetwork()), BrokerPort(10911)}
	for name, c := range map[string]struct {
		opts []Option
		want bool
	}{
		"asked for":         {append(fixed, VIPChannel(true)), true},
		"as Apache does":    {append(fixed, Conf("vipChannel=auto")), true},
		"embedded":          {fixed, false},
		"a port picked":     {[]Option{InMemory(), VirtualNetwork(NewNetwork()), Conf("vipChannel=auto")}, false},
		"below one as well": {[]Option{InMemory(), VirtualNetwork(NewNetwork()), VIPChannel(true)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, c.opts...)
			host, _, err := net.SplitHostPort(b.Addr())
			if err != nil {
				t.Fatal(err)
			}
			addr := net.JoinHostPort(host, fmt.Sprint(portOf(b.server.l)-2))
			if !c.want {
				if nc, err := b.Dial(ctx, "tcp", addr); err == nil {
					t.Errorf("something listens on %s", addr)
					_ = nc.Close()
				}
				return
			}
			vip := dialAddr(t, b, addr)
			vip.createTopic("orders", 1)
			vip.send(sending("orders"), "by the channel")
			if got := bodies(dial(t, b).messages("orders", 0)); len(got) != 1 {
				t.Errorf("the broker's port has %q", got)
			}
			if err := b.Close(ctx); err != nil {
				t.Error(err)
			}
			if <-vip.conn.Done(); vip.conn.Err() == nil {
				t.Error("the connection is open after the close")
			}
			if _, err := b.Dial(ctx, "tcp", addr); err == nil {
				t.Error("it listens after the close")
			}
		})
	}
}

func TestAVIPPortThatIsTakenIsNoReasonNotToStart(t *testing.T) {
	t.Parallel()
	n := NewNetwork()
	l, err := n.Listen("127.0.0.1:10909")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var log logs
	b := start(t, InMemory(), VirtualNetwork(n), BrokerPort(10911), VIPChannel(true), WithLogger(log.logger()))
	dial(t, b).createTopic("orders", 1)
	if !strings.Contains(log.String(), "no VIP channel") || !strings.Contains(log.String(), "port=10909") {
		t.Error(log.String())
	}
}
