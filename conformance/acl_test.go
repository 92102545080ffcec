package conformance_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// rulesFile is the one plain_acl.yml for broker-lite and Apache.
const rulesFile = "testdata/plain_acl.yml"

// startRules starts a server of the leg's kind that has ACL.
func (s *stand) startRules() *server {
	s.Helper()
	if s.server.lite != nil {
		return startLite(s.T, s.log, s.leg.bubble, brokerlite.ACLFile(rulesFile))
	}
	rules, err := os.ReadFile(rulesFile)
	if err != nil {
		s.Fatal(err)
	}
	dir := s.TempDir()
	conf := filepath.Join(dir, "home", "conf") // under Apache's home
	if err := os.MkdirAll(conf, 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(conf, "plain_acl.yml"), rules, 0o600); err != nil {
		s.Fatal(err)
	}
	a := startApacheWith(s.T, apache.Options{
		Version: apache.V4, Dir: dir, BrokerConf: map[string]string{"aclEnable": "true", "messageDelayLevel": shortLevels},
	})
	return &server{nameServers: []string{a.NameServer()}, broker: a.BrokerAddr(), dial: new(net.Dialer).DialContext, levels: parseLevels(shortLevels)}
}

// openAs opens a client with credentials, or none.
func (s *stand) openAs(on *server, accessKey, secretKey string) *rocketkit.Client {
	s.Helper()
	return s.openConfig(rocketkit.Config{
		NameServers: on.nameServers, Credentials: config.Credentials{AccessKey: accessKey, SecretKey: secretKey},
	}, s.dialOptions(on.dial)...)
}

func signedRequests(s *stand) {
	on := s.startRules()
	c, topic := s.openAs(on, "order-service", "order-service-secret"), s.newTopic()
	p := s.producer(c)
	s.sendAll(p, topic, "one", "again")
	failed := atomic.Bool{}
	in := s.inbox()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if string(d.Body) == "again" && failed.CompareAndSwap(false, true) {
			return errors.New("once more")
		}
		return in.take(ctx, d)
	})
	s.start(c, mux)
	if got := in.bodies(2); got[0] != "again" || got[1] != "one" || !failed.Load() {
		s.Errorf("got %q", got)
	}

	for _, wrong := range []struct{ accessKey, secretKey, names string }{
		{"", "", "No accessKey is configured"},
		{"order-service", "another-secret", "Check signature failed for accessKey=order-service"},
		{"order-servant", "order-service-secret", "No acl config for order-servant"},
		{"order-reader", "order-reader-secret", "No default permission for"},
	} {
		other := s.openAs(on, wrong.accessKey, wrong.secretKey)
		_, err := s.producer(other).Send(s.soon(), message.New(topic, []byte("refused")))
		var refused *message.BrokerError
		if !errors.As(err, &refused) || !strings.Contains(refused.Remark, wrong.names) {
			s.Errorf("%q: %v, want the remark %q", wrong.accessKey, err, wrong.names)
		} else if s.leg.driver == "native" && !strings.Contains(refused.Remedy, "credentials") {
			s.Errorf("%q: no remedy: %v", wrong.accessKey, err)
		}
	}
	s.sendAll(p, topic, "last")
	if got := in.bodies(1); got[0] != "last" { // the refused ones are not stored
		s.Errorf("got %q", got)
	}
}
