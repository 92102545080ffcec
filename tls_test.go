package rocketkit_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/internal/testcert"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// trip sends a message and receives it, and says what went wrong.
func (s cluster) trip(t *testing.T, topic string, opts ...rocketkit.Option) {
	t.Helper()
	c := s.connect(opts...)
	sent, err := newProducer(t, c, "g-"+topic).Send(t.Context(), message.New(topic, []byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	if got := consume(t, c, "c-"+topic, topic).take(1); got[sent.MessageID] == nil {
		t.Errorf("received %v, sent %v", got, sent)
	}
}

// refused wants a send to fail, and its error to say why.
func (s cluster) refused(t *testing.T, want []string, opts ...rocketkit.Option) {
	t.Helper()
	_, err := newProducer(t, s.connect(opts...), "g-refused", producer.Retries(0)).Send(t.Context(), message.New("refused", []byte("x")))
	if err == nil {
		t.Fatal("the send went through")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v: does not say %q", err, w)
		}
	}
}

func TestMessagesTravelByTLSAndPlainlyToOnePort(t *testing.T) {
	ca := testcert.New(t)
	inCluster(t, func(t *testing.T, s cluster) {
		s.trip(t, "secure", rocketkit.WithTLSConfig(&tls.Config{RootCAs: ca.Pool()}))
		s.trip(t, "plain")
		s.refused(t, []string{"certificate signed by unknown authority", "trust the CA"}, rocketkit.WithTLSConfig(&tls.Config{RootCAs: testcert.New(t).Pool()}))
	}, brokerlite.WithTLS(&tls.Config{Certificates: []tls.Certificate{ca.Server()}}))
}

func TestEnforcedTLSTurnsPlainClientsAway(t *testing.T) {
	ca := testcert.New(t)
	inCluster(t, func(t *testing.T, s cluster) {
		s.trip(t, "secure", rocketkit.WithTLSConfig(&tls.Config{RootCAs: ca.Pool()}))
		s.refused(t, []string{"if the server requires TLS, turn it on"})
	}, brokerlite.WithTLS(&tls.Config{Certificates: []tls.Certificate{ca.Server()}}), brokerlite.RequireTLS())
}

func TestAServerWithoutTLSIsNamedAsSuch(t *testing.T) {
	inCluster(t, func(t *testing.T, s cluster) {
		s.refused(t, []string{"does the server speak TLS"}, rocketkit.WithTLSConfig(&tls.Config{}))
	})
}

// It runs over real sockets, and from files as an operator has them.
func TestMutualTLSTakesOnlyClientsOfItsCA(t *testing.T) {
	t.Parallel()
	ca, clients := testcert.New(t), testcert.New(t)
	cert, key := testcert.Files(t, ca.Server())
	b, err := brokerlite.Start(t.Context(), brokerlite.InMemory(), brokerlite.Conf(fmt.Sprintf(
		"tls.server.mode=enforcing\ntls.server.certPath=%s\ntls.server.keyPath=%s\ntls.server.need.client.auth=require\ntls.server.trustCertPath=%s", cert, key, clients.File())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})

	own := func(ca *testcert.CA) config.TLS {
		cert, key := testcert.Files(t, ca.Client())
		return config.TLS{CertFile: cert, KeyFile: key}
	}
	for name, c := range map[string]struct {
		tls     config.TLS
		refused []string
	}{
		"a client with a certificate": {tls: own(clients)},
		"one without":                 {refused: []string{"certificate required", "does it ask for a client certificate"}},
		"one with that of a stranger": {tls: own(testcert.New(t)), refused: []string{"unknown certificate authority", "does it ask for a client certificate"}},
	} {
		c.tls.Enabled, c.tls.CAFile = true, ca.File()
		client, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{b.NameServer()}, TLS: c.tls})
		if err != nil {
			t.Fatal(err)
		}
		_, err = newProducer(t, client, "g", producer.Retries(0)).Send(t.Context(), message.New("orders", []byte("x")))
		if (err == nil) != (c.refused == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, w := range c.refused {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v: does not say %q", name, err, w)
			}
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}

}
