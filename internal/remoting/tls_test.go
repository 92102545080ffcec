package remoting

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// certificate makes one for 127.0.0.1, and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestOnePortSpeaksTLSAndPlain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cert, trusted := certificate(t)
		o := serving()
		o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s := start(t, o, ClientOptions{})
		mustAnswer(t, s.conn(t))

		secure := NewClient(ClientOptions{Dial: s.net.Dial, TLS: &tls.Config{RootCAs: trusted}})
		c, err := secure.Conn(t.Context(), s.addr)
		if err != nil {
			t.Fatal(err)
		}
		mustAnswer(t, c)
		if _, err := c.Call(t.Context(), request(1), nil, make([]byte, 3<<20)); err != nil {
			t.Error(err)
		}
		if err := secure.Close(context.Background()); err != nil {
			t.Error(err)
		}

		distrustful := NewClient(ClientOptions{Dial: s.net.Dial, TLS: &tls.Config{RootCAs: x509.NewCertPool()}})
		_, err = distrustful.Conn(t.Context(), s.addr)
		wantCallError(t, err, false, ErrDial)
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
		if err := distrustful.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestATLSServerDoesNotWaitForTheFirstByteForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cert, _ := certificate(t)
		o := serving()
		o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s := start(t, o, ClientOptions{})
		raw := s.raw(t)
		began := time.Now()
		if _, err := raw.Read(make([]byte, 1)); err == nil {
			t.Error("the server spoke first")
		}
		if took := time.Since(began); took != handshakeTimeout {
			t.Errorf("it was closed after %v", took)
		}
		synctest.Wait()
		if logged := s.logs.atLeast(slog.LevelWarn); len(logged) != 1 || !strings.Contains(logged[0], raw.LocalAddr().String()) {
			t.Errorf("logged %q", logged)
		}
		// One that still waits must not hold up Shutdown.
		s.raw(t)
		synctest.Wait()
		began = time.Now()
		if err := s.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Shutdown took %v", took)
		}
	})
}

func TestADeadTLSConnectionEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cert, trusted := certificate(t)
		o := serving()
		o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s := start(t, o, ClientOptions{})
		secure := NewClient(ClientOptions{Dial: s.net.Dial, TLS: &tls.Config{RootCAs: trusted}, Options: Options{WriteTimeout: 8 * time.Second}})
		c, err := secure.Conn(t.Context(), s.addr)
		if err != nil {
			t.Fatal(err)
		}
		s.net.Freeze(s.addr)
		began := time.Now()
		_, err = c.Call(context.Background(), request(1), nil, make([]byte, 4<<20))
		wantCallError(t, err, false, ErrClosed)
		<-c.Done()
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := secure.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
