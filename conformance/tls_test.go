package conformance_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/internal/testcert"
	"github.com/rocketkit/rocketkit/message"
)

// The rows of tlsTable.
const (
	tlsVerified = "Java client, mutual TLS"
	tlsTestMode = "Java client, TLS in test mode"
	vipClient   = "Java client, VIP channel"
	tlsSDK      = "SDK by mutual TLS on Apache"
	aclSDK      = "SDK on Apache with ACL 2.0"
	aclAdmin    = "mqadmin with an access key"
)

func tlsRows() []row {
	cases := strings.Join(tlsCases(), ", ")
	return []row{
		{aclAdmin, "broker-lite with ACL: mqadmin signs with the access key of tools.yml and does what the account may; without one, with a wrong secret and with an account that is no admin it shows the reason"},
		{aclSDK, "Apache 5.4.0 with authentication and authorization: the SDK sends and receives with the right access key; without one, with a wrong secret, with an unknown key and as a user without rights it gets NO_PERMISSION, Apache's reason and the remedy"},
		{tlsVerified, "broker-lite with tls.server.mode=enforcing and client certificates required; each side verifies the other: " + cases},
		{tlsTestMode, "broker-lite with both kinds of clients on one port; the client verifies nothing, its default: " + cases},
		{vipClient, "broker-lite with a fixed port, com.rocketmq.sendMessageWithVIPChannel=true: " + cases},
		{tlsSDK, "Apache's name server and broker with client certificates required; each side verifies the other: the SDK sends and receives with its certificate and its CA, and without either of them an error says what is missing"},
	}
}

// tlsCases are the Java cases that run by TLS: each way to send, receive and ask.
func tlsCases() []string {
	return []string{"send-sync", "send-oneway", "send-compressed", "push-all", "pull-blocks", "order-push", "lite-pull-subscribe", "request-reply", "transaction-commit", "create-topic"}
}

func TestJavaClientByTLS(t *testing.T) {
	apache.Require(t)
	takeLane(t)
	ca := testcert.New(t)
	cert, key := testcert.Files(t, ca.Server())
	pair := "\ntls.server.certPath=" + cert + "\ntls.server.keyPath=" + key
	clientCert, clientKey := testcert.Files(t, ca.Client())
	for _, c := range []struct {
		row, conf string
		jvm       []string
	}{
		{
			tlsVerified, "tls.server.mode=enforcing\ntls.server.need.client.auth=require\ntls.server.trustCertPath=" + ca.File() + pair,
			[]string{"-Dtls.enable=true", "-Dtls.test.mode.enable=false", "-Dtls.client.authServer=true", "-Dtls.client.trustCertPath=" + ca.File(), "-Dtls.client.certPath=" + clientCert, "-Dtls.client.keyPath=" + clientKey},
		},
		{tlsTestMode, "tls.server.mode=permissive" + pair, []string{"-Dtls.enable=true", "-Dtls.test.mode.enable=true"}},
		{vipClient, "vipChannel=on", []string{"-Dcom.rocketmq.sendMessageWithVIPChannel=true"}},
	} {
		javaVersions(t, c.row, func(t *testing.T, version string) {
			results.track(t, tlsTable, version, c.row)
			conf := c.conf
			if c.row == vipClient {
				conf += fmt.Sprintf("\nlistenPort=%d", freePort(t))
			}
			b := foreignServer(t, brokerlite.Conf(conf))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			got, err := apache.Peer(ctx, apache.PeerOptions{Client: version, Server: apache.V5, NameServer: b.NameServer(), Cases: tlsCases(), JVM: c.jvm})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(tlsCases()) {
				t.Errorf("%d results of %d cases", len(got), len(tlsCases()))
			}
			for _, r := range got {
				if r.Outcome != apache.Pass {
					t.Errorf("%s %s: %s", r.Outcome, r.Name, r.Why)
				}
			}
		})
	}
}

// javaVersions runs f for both versions at the same time, but not beside what comes
// next: two cores do not carry more JVMs.
func javaVersions(t *testing.T, name string, f func(t *testing.T, version string)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		for _, version := range []string{apache.V5, apache.V4} {
			t.Run(version, func(t *testing.T) {
				t.Parallel()
				f(t, version)
			})
		}
	})
}

// freePort is one that nobody listens on now, nor two below: one of those that neither
// the kernel gives away nor Apache's servers take, lest another test's server gets it in
// the meantime.
func freePort(t *testing.T) int {
	t.Helper()
	for range 20 {
		port := 10_000 + rand.IntN(10_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(port)))
		if err != nil {
			continue
		}
		below, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(port-2)))
		if cerr := l.Close(); cerr != nil {
			t.Fatal(cerr)
		}
		if err != nil {
			continue
		}
		if err := below.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no two ports are free")
	return 0
}

// Apache 5.4.0 has ACL 2.0 too: one server less to start.
func TestSDKByTLSOnApache(t *testing.T) {
	apache.Require(t)
	takeLane(t)
	javaVersions(t, "by TLS", func(t *testing.T, version string) {
		ca := testcert.New(t)
		o := mutualTLS(t, ca, version)
		keys := config.Credentials{}
		if version == apache.V5 {
			keys = superUser
			o.BrokerConf = aclTwo(t.TempDir())
		}
		a := startApacheWith(t, o)
		s := &stand{T: t, leg: legNamed("broker-lite"), c: testCase{name: "tls " + strings.ReplaceAll(version, ".", "")}, log: newLog(t)}
		cert, key := testcert.Files(t, ca.Client())
		ours := config.TLS{Enabled: true, CAFile: ca.File(), CertFile: cert, KeyFile: key}
		as := func(s *stand, keys config.Credentials, by config.TLS) *rocketkit.Client {
			return s.openConfig(rocketkit.Config{NameServers: []string{a.NameServer()}, Credentials: keys, TLS: by})
		}
		results.track(t, tlsTable, version, tlsSDK)
		client, topic := as(s, keys, ours), "by-tls"
		sent := s.send(s.producer(client), message.New(topic, []byte("x")))
		in := s.receive(client, topic)
		if in.ids(1)[sent.MessageID] == nil {
			t.Error("it did not arrive")
		}
		for remedy, by := range map[string]config.TLS{"client certificate": {Enabled: true, CAFile: ca.File()}, "trust the CA": {Enabled: true, CertFile: cert, KeyFile: key}} {
			_, err := s.producer(as(s, keys, by)).Send(s.soon(), message.New(topic, []byte("refused")))
			if err == nil || !strings.Contains(err.Error(), remedy) {
				t.Errorf("error %v, want the remedy %q", err, remedy)
			}
		}
		if version == apache.V5 {
			results.track(t, tlsTable, version, aclSDK)
			encrypted := tls.Dialer{Config: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{ca.Client()}}}
			s.server = &server{nameServers: []string{a.NameServer()}, broker: a.BrokerAddr(), dial: encrypted.DialContext}
			refusedByACLTwo(s, topic, func(keys config.Credentials) *rocketkit.Client { return as(s, keys, ours) })
			s.sendAll(s.producer(client), topic, "last")
			if got := in.bodies(1); got[0] != "last" { // the refused ones are not stored
				t.Errorf("got %q", got)
			}
			comparesByACLTwo(s, topic, func(body string) { s.sendAll(s.producer(client), topic, body) },
				func(s *stand, keys config.Credentials) *rocketkit.Client { return as(s, keys, ours) })
		}
	})
}

// mutualTLS has Apache's broker take TLS only, and both its servers clients with a
// certificate of the CA only. The name server is asked without TLS whether it is ready.
func mutualTLS(t *testing.T, ca *testcert.CA, version string) apache.Options {
	cert, key := testcert.Files(t, ca.Server())
	clientCert, clientKey := testcert.Files(t, ca.Client())
	flags := []string{
		"-Dtls.test.mode.enable=false", "-Dtls.server.need.client.auth=require", "-Dtls.server.authClient=true",
		"-Dtls.server.certPath=" + cert, "-Dtls.server.keyPath=" + key, "-Dtls.server.trustCertPath=" + ca.File(),
	}
	return apache.Options{Version: version, NameServerJVM: flags, JVM: append([]string{
		"-Dtls.server.mode=enforcing", "-Dtls.enable=true", "-Dtls.client.authServer=true",
		"-Dtls.client.certPath=" + clientCert, "-Dtls.client.keyPath=" + clientKey, "-Dtls.client.trustCertPath=" + ca.File(),
	}, flags...)}
}
