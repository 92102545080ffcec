package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver/clientgo"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/txn"
)

// sendWith: some of a producer's sends have other options, and the others have not.
func sendWith(s *stand) {
	topic := s.topic()
	p := s.producer(s.open(), always(1))
	first := s.send(p, message.New(topic, []byte("0")))
	to := first.Queue
	to.ID = 3
	there, err := p.With(producer.ToQueue(to), producer.Retries(0))
	if err != nil {
		s.Fatal(err)
	}
	for i := range 3 {
		if r := s.send(there, message.New(topic, []byte("there"))); r.Queue != to || r.QueueOffset != int64(i) || r.Status != message.SendOK {
			s.Errorf("to queue 3: %+v", r)
		}
	}
	if r := s.send(p, message.New(topic, []byte("1"))); r.Queue != first.Queue || r.QueueOffset != 1 {
		s.Errorf("the producer's own: %+v after %+v", r, first)
	}
	to.ID = 4 // of 4
	nowhere, err := p.With(producer.ToQueue(to), producer.Retries(0))
	if err != nil {
		s.Fatal(err)
	}
	if _, err := nowhere.Send(s.soon(), message.New(topic, []byte("x"))); !errors.Is(err, message.ErrUnreachable) || !message.SafeToRetry(err) {
		s.Errorf("to a queue that is not there: %v", err)
	}
}

// vipPort is the port of a server's VIP channel.
func vipPort(s *server) (host, own, vip string, err error) {
	host, own, err = net.SplitHostPort(s.broker)
	if err != nil {
		return host, own, vip, err
	}
	n, err := strconv.Atoi(own)
	return host, own, strconv.Itoa(n - 2), err
}

// vipSends: what a producer sends goes by the VIP channel, also when the broker's own
// port cannot be reached.
func vipSends(s *stand) {
	if s.server.lite != nil {
		s.server = startLite(s.T, s.log, s.leg.bubble, brokerlite.VIPChannel(true))
	}
	topic := s.topic()
	in := s.receive(s.open(), topic)
	_, own, vip, err := vipPort(s.server)
	if err != nil {
		s.Fatal(err)
	}
	var used counter
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		switch {
		case strings.HasSuffix(addr, ":"+own):
			return nil, fmt.Errorf("the case refuses %s", addr)
		case strings.HasSuffix(addr, ":"+vip):
			used.add("vip")
		}
		return s.server.dial(ctx, network, addr)
	}
	c := s.openConfig(rocketkit.Config{NameServers: s.server.nameServers, VIPChannel: true}, s.dialOptions(dial)...)
	kind := txn.NewKind("paid", topic, func(context.Context, *message.Delivery) error { return nil })
	p := s.producer(c, txn.Kinds(kind))
	s.send(p, message.New(topic, []byte("0")))
	if res, err := kind.Send(s.soon(), p, message.New(topic, []byte("1")), local(nil)); err != nil || res.Decision != txn.DecidedToCommit {
		s.Errorf("transaction: %+v, %v", res, err)
	}
	if got := in.bodies(2); got[0] != "0" || got[1] != "1" {
		s.Errorf("arrived: %q", got)
	}
	if used.get("vip") == 0 {
		s.Error("the VIP channel was not used")
	}
}

// vipRefused: the driver says so rather than send by the common port.
func vipRefused(s *stand) {
	_, err := rocketkit.Open(s.soon(), rocketkit.Config{NameServers: s.server.nameServers, VIPChannel: true}, rocketkit.WithDriver(clientgo.Name, clientgo.Factory))
	if !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "VIP channel") {
		s.Errorf("%v", err)
	}
}
