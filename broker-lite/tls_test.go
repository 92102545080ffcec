package brokerlite

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/testcert"
)

func TestMistakesInTLSKeysRefuseTheStart(t *testing.T) {
	t.Parallel()
	ca := testcert.New(t)
	cert, key := testcert.Files(t, ca.Server())
	_, otherKey := testcert.Files(t, ca.Server())
	old, oldKey := testcert.Files(t, ca.ServerUntil(time.Now().Add(-time.Hour)))
	junk, locked := filepath.Join(t.TempDir(), "junk"), filepath.Join(t.TempDir(), "locked")
	for path, text := range map[string]string{junk: "junk", locked: "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair := "tls.server.certPath=" + cert + "\ntls.server.keyPath=" + key + "\n"
	for name, c := range map[string]struct {
		conf string
		want []string
	}{
		"no files":            {"tls.server.mode=permissive", []string{"tls.server.certPath is missing", "tls.server.keyPath is missing"}},
		"a key alone":         {"tls.server.keyPath=" + key, []string{"tls.server.certPath is missing"}},
		"no such file":        {"tls.server.certPath=/none\ntls.server.keyPath=" + key, []string{"tls.server.certPath=/none", "no such file"}},
		"another's key":       {"tls.server.certPath=" + cert + "\ntls.server.keyPath=" + otherKey, []string{"tls.server.keyPath=" + otherKey, "its own private key"}},
		"junk":                {"tls.server.certPath=" + junk + "\ntls.server.keyPath=" + key, []string{"tls.server.certPath=" + junk, "PEM"}},
		"an encrypted key":    {"tls.server.certPath=" + cert + "\ntls.server.keyPath=" + locked, []string{"tls.server.keyPath=" + locked, "openssl"}},
		"an old certificate":  {"tls.server.certPath=" + old + "\ntls.server.keyPath=" + oldKey, []string{"tls.server.certPath=" + old, "valid until"}},
		"clients without CA":  {pair + "tls.server.need.client.auth=require", []string{"tls.server.trustCertPath is missing"}},
		"clients' CA is junk": {pair + "tls.server.need.client.auth=OPTIONAL\ntls.server.trustCertPath=" + junk, []string{"tls.server.trustCertPath=" + junk, "PEM"}},
		"name servers' CA":    {"tls.enable=true\ntls.client.trustCertPath=/none", []string{"tls.client.trustCertPath=/none"}},
		"own certificate":     {"tls.enable=true\ntls.client.certPath=" + cert, []string{"tls.client.keyPath is missing"}},
		"a mode":              {"tls.server.mode=on", []string{"tls.server.mode=on", "permissive, enforcing or disabled"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Start(t.Context(), InMemory(), Conf(c.conf))
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v: does not say %q", err, want)
				}
			}
		})
	}
	if _, err := Start(t.Context(), InMemory(), WithTLS(&tls.Config{})); err == nil || !strings.Contains(err.Error(), "WithTLS") {
		t.Errorf("an option without a certificate: %v", err)
	}
}

// hello is whether a server speaks TLS, and whether it answers a plain request.
func hello(t *testing.T, addr string) (secure, plain bool) {
	t.Helper()
	nc, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		secure = true
		_ = nc.Close() // nothing was said
	}
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	frame, err := protocol.AppendFrame(nil, &protocol.Command{Code: protocol.GetBrokerConfig, Codec: protocol.JSON}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Write(frame); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadFull(raw, make([]byte, 4))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: neither an answer nor a close", addr)
	}
	return secure, err == nil
}

func TestModesOfTLS(t *testing.T) {
	t.Parallel()
	cert, key := testcert.Files(t, testcert.New(t).Server())
	pair := "tls.server.certPath=" + cert + "\ntls.server.keyPath=" + key + "\n"
	for conf, want := range map[string]struct{ secure, plain bool }{
		"": {false, true}, "tls.server.mode=disabled\n" + pair: {false, true},
		pair: {true, true}, "tls.server.mode=permissive\n" + pair: {true, true}, "tls.server.mode=ENFORCING\n" + pair: {true, false},
	} {
		t.Run(strings.ReplaceAll(strings.SplitN(conf, "\n", 2)[0], "/", "_"), func(t *testing.T) {
			t.Parallel()
			b := start(t, InMemory(), Conf(conf))
			for what, addr := range map[string]string{"broker": b.Addr(), "name server": b.NameServer()} {
				if secure, plain := hello(t, addr); secure != want.secure || plain != want.plain {
					t.Errorf("%s: speaks TLS: %v, plain: %v; want %+v", what, secure, plain, want)
				}
			}
		})
	}
}

func TestAPlainClientThatIsTurnedAwayIsLogged(t *testing.T) {
	t.Parallel()
	var log logs
	b := start(t, InMemory(), WithTLS(&tls.Config{Certificates: []tls.Certificate{testcert.New(t).Server()}}), RequireTLS(), WithLogger(log.logger()))
	if _, plain := hello(t, b.Addr()); plain {
		t.Error("it was served")
	}
	if !strings.Contains(log.String(), "does not speak TLS, which this server requires") {
		t.Error(log.String())
	}
}

// Two processes: the broker verifies the name server and shows a certificate.
func TestABrokerRegistersByTLS(t *testing.T) {
	t.Parallel()
	ca := testcert.New(t)
	cert, key := testcert.Files(t, ca.Server())
	ns := start(t, InMemory(), WithRole(RoleNameServer), Conf(fmt.Sprintf(
		"tls.server.mode=enforcing\ntls.server.certPath=%s\ntls.server.keyPath=%s\ntls.server.need.client.auth=require\ntls.server.trustCertPath=%s", cert, key, ca.File())))
	ownCert, ownKey := testcert.Files(t, ca.Client())
	conf := fmt.Sprintf("tls.enable=true\ntls.client.trustCertPath=%s\ntls.client.certPath=%s\ntls.client.keyPath=%s", ca.File(), ownCert, ownKey)
	b := start(t, InMemory(), WithRole(RoleBroker), NameServers(ns.NameServer()), Conf(conf))
	if err := b.ready(); err != nil {
		t.Error(err)
	}
	// One of its own name server, which takes plain clients, besides.
	both := start(t, InMemory(), NameServers(ns.NameServer()), Conf(conf), Name("broker-b", "DefaultCluster"))
	if err := both.ready(); err != nil {
		t.Error(err)
	}

	var log logs
	stranger := start(t, InMemory(), WithRole(RoleBroker), NameServers(ns.NameServer()), NameServerTLS(&tls.Config{RootCAs: testcert.New(t).Pool()}), WithLogger(log.logger()))
	if err := stranger.ready(); err == nil {
		t.Error("a name server of a CA that is not trusted was taken")
	}
	if !strings.Contains(log.String(), "trust the CA") {
		t.Error(log.String())
	}
}
