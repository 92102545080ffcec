package brokerlite

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
)

// WithTLS lets clients of the broker and the name server speak TLS. They may speak
// plain too, on the same ports, unless RequireTLS says otherwise; cfg.ClientCAs and
// cfg.ClientAuth ask them for certificates. HTTP stays plain. In a broker.conf
// Apache's keys do the same: tls.server.mode, tls.server.certPath,
// tls.server.keyPath, tls.server.need.client.auth and tls.server.trustCertPath.
//
// The broker and the name server of one process need no certificates of each other.
func WithTLS(cfg *tls.Config) Option { return func(s *settings) { s.tls = cfg } }

// RequireTLS closes the connections of clients that do not speak TLS, as
// tls.server.mode=enforcing does.
func RequireTLS() Option {
	return func(s *settings) { s.edit(func(c *config.Config) { c.TLS.Mode = config.TLSEnforcing }) }
}

// NameServerTLS is how the broker dials name servers of other processes; plainly
// without it. In a broker.conf tls.enable, tls.client.trustCertPath,
// tls.client.certPath and tls.client.keyPath do the same. Their certificates are
// verified, unless tls.client.authServer=false, which is Apache's default.
func NameServerTLS(cfg *tls.Config) Option { return func(s *settings) { s.dialTLS = cfg } }

// secure makes p's TLS configurations of the options and the files that its keys
// name.
func (p *plan) secure() error {
	keys := &p.config.TLS
	var err, err2 error
	if p.tls != nil {
		err = usable(p.tls)
	} else if keys.Mode == config.TLSPermissive || keys.Mode == config.TLSEnforcing || keys.CertPath != "" || keys.KeyPath != "" {
		p.tls, err = serverTLS(keys)
	}
	if keys.Mode == config.TLSDisabled {
		p.tls = nil
	}
	if p.tls == nil {
		if keys.NeedClientAuth != config.ClientAuthNone && err == nil {
			p.warnings = append(p.warnings, "tls.server.need.client.auth has no effect: TLS is off; set tls.server.certPath and tls.server.keyPath")
		}
	} else if keys.ClientTrustPath != "" && keys.NeedClientAuth == config.ClientAuthNone {
		p.warnings = append(p.warnings, "tls.server.trustCertPath has no effect: tls.server.need.client.auth is none; set it to optional or require")
	}
	if p.dialTLS == nil && keys.Dial {
		p.dialTLS, err2 = clientTLS(keys)
	}
	return errors.Join(err, err2)
}

// usable reports a server's configuration without a certificate.
func usable(cfg *tls.Config) error {
	if len(cfg.Certificates) == 0 && cfg.GetCertificate == nil && cfg.GetConfigForClient == nil {
		return errors.New("brokerlite.WithTLS: the configuration has no certificate; set Certificates or GetCertificate")
	}
	return nil
}

func serverTLS(keys *config.TLS) (*tls.Config, error) {
	cert, err := loadPair("tls.server.certPath", keys.CertPath, "tls.server.keyPath", keys.KeyPath)
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	switch keys.NeedClientAuth {
	case config.ClientAuthNone:
		return cfg, err
	case config.ClientAuthOptional:
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	case config.ClientAuthRequire:
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	// Apache takes any certificate unless tls.server.authClient is set. That proves
	// nothing about the client.
	pool, poolErr := loadPool("tls.server.trustCertPath", keys.ClientTrustPath)
	cfg.ClientCAs = pool
	return cfg, errors.Join(err, poolErr)
}

func clientTLS(keys *config.TLS) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !keys.VerifyServers}
	var errs []error
	if keys.ServerTrustPath != "" {
		pool, err := loadPool("tls.client.trustCertPath", keys.ServerTrustPath)
		cfg.RootCAs, errs = pool, append(errs, err)
	}
	if keys.OwnCertPath != "" || keys.OwnKeyPath != "" {
		cert, err := loadPair("tls.client.certPath", keys.OwnCertPath, "tls.client.keyPath", keys.OwnKeyPath)
		cfg.Certificates, errs = []tls.Certificate{cert}, append(errs, err)
	}
	return cfg, errors.Join(errs...)
}

// loadPair reads a certificate and its key. Its errors name the keys of broker.conf.
func loadPair(certKey, certPath, keyKey, keyPath string) (tls.Certificate, error) {
	certPEM, certErr := readPEM(certKey, certPath, "the certificate, followed by those between it and its CA")
	keyPEM, keyErr := readPEM(keyKey, keyPath, "the certificate's private key")
	if err := errors.Join(certErr, keyErr); err != nil {
		return tls.Certificate{}, err
	}
	if block, _ := pem.Decode(keyPEM); block != nil && (strings.HasPrefix(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "") {
		return tls.Certificate{}, fmt.Errorf("%s=%s: the key is encrypted, which broker-lite cannot read; write it without a password (openssl pkey -in %s -out …), readable by this user only", keyKey, keyPath, keyPath)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return cert, fmt.Errorf("%s=%s, %s=%s: %w; want a certificate and its own private key, both in PEM", certKey, certPath, keyKey, keyPath, err)
	}
	if until := cert.Leaf.NotAfter; time.Now().After(until) {
		return cert, fmt.Errorf("%s=%s: the certificate was valid until %s only; have it renewed", certKey, certPath, until.Format(time.RFC3339))
	}
	return cert, nil
}

func loadPool(key, path string) (*x509.CertPool, error) {
	text, err := readPEM(key, path, "the certificates of the CAs to trust")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s=%s: the file holds no certificate in PEM; want the certificates of the CAs to trust", key, path)
	}
	return pool, nil
}

func readPEM(key, path, want string) ([]byte, error) {
	if path == "" {
		return nil, fmt.Errorf("%s is missing: name a PEM file with %s", key, want)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w; name a PEM file with %s", key, path, err, want)
	}
	return text, nil
}

// tlsOnly reports whether plain clients are turned away.
func (p *plan) tlsOnly() bool { return p.tls != nil && p.config.TLS.Mode == config.TLSEnforcing }

// listenInside lets the broker reach this process's name server without TLS, where
// the other ways to it have it: no certificate need name 127.0.0.1, or be a client's.
func (b *Broker) listenInside() (net.Listener, error) {
	if b.plan.dialTLS == nil && !b.plan.tlsOnly() {
		return nil, nil
	}
	inside := memnet.New()
	l, err := inside.Listen(b.nameAddr)
	if err != nil {
		return nil, fmt.Errorf("name server: listen inside the process: %w", err)
	}
	b.dialInside = inside.Dial
	return l, nil
}

// newClient makes the client of the name servers.
func (b *Broker) newClient() *remoting.Client {
	o := remoting.ClientOptions{Options: remoting.Options{Logger: b.logger}, Dial: b.dial, TLS: b.plan.dialTLS}
	if b.dialInside != nil {
		o.Plain = func(addr string) bool { return addr == b.nameAddr }
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == b.nameAddr {
				return b.dialInside(ctx, network, addr)
			}
			return b.dial(ctx, network, addr)
		}
	}
	return remoting.NewClient(o)
}
