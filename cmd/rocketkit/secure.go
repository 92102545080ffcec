package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/message"
)

// secureFlags say how a command signs and encrypts its requests. They win over the
// file and the environment.
type secureFlags struct {
	accessKey, secretKeyFile  string
	tls, insecure             bool
	caFile, certFile, keyFile string
	serverName                string
}

// addTo gives a command the flags. There is none for the secret key itself: other
// users of the machine see the arguments of a process.
func (s *secureFlags) addTo(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&s.accessKey, "access-key", "", "the access key to sign with, for servers with ACL (ROCKETMQ_CREDENTIALS_ACCESS_KEY)")
	flags.StringVar(&s.secretKeyFile, "secret-key-file", "", "a file that holds its secret key (or ROCKETMQ_CREDENTIALS_SECRET_KEY, the secret key itself)")
	flags.BoolVar(&s.tls, "tls", false, "encrypt connections; each flag --tls-... does too (ROCKETMQ_TLS_ENABLED=true)")
	flags.StringVar(&s.caFile, "tls-ca", "", "a PEM file of the certificates that vouch for servers (default: the system's)")
	flags.StringVar(&s.certFile, "tls-cert", "", "a PEM file of the certificate to show to servers that ask for one")
	flags.StringVar(&s.keyFile, "tls-key", "", "a PEM file of its private key")
	flags.StringVar(&s.serverName, "tls-server-name", "", "the name in the servers' certificates (default: the host that is dialled)")
	flags.BoolVar(&s.insecure, "tls-insecure", false, "encrypt, but verify no server: only for tests, such as with the certificate that Apache's server makes itself")
}

// over puts the flags over what is configured.
func (s *secureFlags) over(cfg *rocketkit.Config) error {
	c, t := &cfg.Credentials, &cfg.TLS
	put(&c.AccessKey, s.accessKey)
	if s.secretKeyFile != "" {
		c.SecretKey, c.SecretKeyFile = "", s.secretKeyFile
	}
	put(&t.CAFile, s.caFile)
	put(&t.CertFile, s.certFile)
	put(&t.KeyFile, s.keyFile)
	put(&t.ServerName, s.serverName)
	t.Enabled = t.Enabled || s.tls || s.insecure || s.caFile != "" || s.certFile != "" || s.keyFile != "" || s.serverName != ""
	secret := c.SecretKey != "" || c.SecretKeyFile != ""
	switch {
	case c.AccessKey != "" && !secret:
		return fmt.Errorf("the access key %s has no secret key: want --secret-key-file, or ROCKETMQ_CREDENTIALS_SECRET_KEY", c.AccessKey)
	case c.AccessKey == "" && secret:
		return errors.New("there is a secret key without an access key: want --access-key, or ROCKETMQ_CREDENTIALS_ACCESS_KEY")
	case t.CertFile != "" && t.KeyFile == "":
		return fmt.Errorf("the certificate %s has no private key: want --tls-key", t.CertFile)
	case t.CertFile == "" && t.KeyFile != "":
		return fmt.Errorf("the private key %s has no certificate: want --tls-cert", t.KeyFile)
	case s.insecure && (s.caFile != "" || s.serverName != ""):
		return errors.New("--tls-insecure verifies nothing: want it, or --tls-ca and --tls-server-name")
	}
	return nil
}

// put sets what is given.
func put(to *string, given string) {
	if given != "" {
		*to = given
	}
}

// encryption is what crypto/tls takes, nil without TLS.
func (s *secureFlags) encryption(t config.TLS) (*tls.Config, error) {
	c, err := t.Config()
	if c != nil && s.insecure {
		c.InsecureSkipVerify = true // as it was asked for
	}
	return c, err
}

// explainSecurity says what to do about a server that wants other credentials or
// another encryption; nil when err is about neither.
func explainSecurity(cfg rocketkit.Config, err error) error {
	var (
		refused  *message.BrokerError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		alert    *net.OpError
		notTLS   tls.RecordHeaderError
	)
	encrypted := cfg.TLS.Enabled
	switch {
	case errors.As(err, &refused) && strings.Contains(refused.Remark, "accessKey") && cfg.Credentials.AccessKey == "":
		return fmt.Errorf("%w; the server has ACL: want --access-key and --secret-key-file", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; want --tls-ca with the certificate that has signed the server's", err)
	case errors.As(err, &hostname):
		return fmt.Errorf("%w; want --tls-server-name with a name that is in it", err)
	case errors.As(err, &alert) && alert.Op == "remote error": // an alert of crypto/tls
		return fmt.Errorf("%w; the server asks for a certificate that it trusts: want --tls-cert and --tls-key", err)
	case errors.As(err, &notTLS):
		return fmt.Errorf("%w; does the server take TLS? if not, leave it out", err)
	case closedByServer(err) && !encrypted:
		return fmt.Errorf("%w; does the server require TLS? want --tls", err)
	case closedByServer(err): // which can be faster than its alert
		return fmt.Errorf("%w; does the server take TLS? does it ask for a certificate (--tls-cert and --tls-key)?", err)
	}
	return nil
}

// closedByServer is what a server does to a connection that is not encrypted as it
// wants it.
func closedByServer(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF)
}
