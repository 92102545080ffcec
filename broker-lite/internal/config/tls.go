package config

import (
	"errors"
	"slices"
	"strings"
)

// Values of tls.server.mode. Unlike Apache's permissive server, which signs its own
// certificate when it has none, one without a certificate speaks no TLS.
const (
	TLSByCertificate = "" // permissive with a certificate, disabled without
	TLSDisabled      = "disabled"
	TLSPermissive    = "permissive"
	TLSEnforcing     = "enforcing"
)

// Values of tls.server.need.client.auth.
const (
	ClientAuthNone     = "none"
	ClientAuthOptional = "optional"
	ClientAuthRequire  = "require"
)

// TLS is what Apache's tls.properties and the JVM flags of the same names say. The
// files are PEM. The first part is for those who connect to the broker and the name
// server, the rest for connections to name servers elsewhere.
type TLS struct {
	Mode            string // tls.server.mode
	CertPath        string // tls.server.certPath: the certificate, and those between it and its CA
	KeyPath         string // tls.server.keyPath
	NeedClientAuth  string // tls.server.need.client.auth
	ClientTrustPath string // tls.server.trustCertPath: the CAs of clients

	Dial            bool   // tls.enable: name servers elsewhere are dialled by TLS
	OwnCertPath     string // tls.client.certPath: what is shown to them
	OwnKeyPath      string // tls.client.keyPath
	VerifyServers   bool   // tls.client.authServer: their certificates are verified; Apache's is off
	ServerTrustPath string // tls.client.trustCertPath: their CAs; "" takes the system's
}

func tlsKeys() []key {
	return []key{
		lower("tls.server.mode", "permissive, enforcing or disabled; empty is permissive with a certificate and disabled without",
			[]string{TLSByCertificate, TLSDisabled, TLSPermissive, TLSEnforcing}, func(c *Config) *string { return &c.TLS.Mode }),
		text("tls.server.certPath", func(c *Config) *string { return &c.TLS.CertPath }),
		text("tls.server.keyPath", func(c *Config) *string { return &c.TLS.KeyPath }),
		lower("tls.server.need.client.auth", "none, optional or require",
			[]string{ClientAuthNone, ClientAuthOptional, ClientAuthRequire}, func(c *Config) *string { return &c.TLS.NeedClientAuth }),
		text("tls.server.trustCertPath", func(c *Config) *string { return &c.TLS.ClientTrustPath }),
		flag("tls.enable", func(c *Config) *bool { return &c.TLS.Dial }),
		text("tls.client.certPath", func(c *Config) *string { return &c.TLS.OwnCertPath }),
		text("tls.client.keyPath", func(c *Config) *string { return &c.TLS.OwnKeyPath }),
		flag("tls.client.authServer", func(c *Config) *bool { return &c.TLS.VerifyServers }),
		text("tls.client.trustCertPath", func(c *Config) *string { return &c.TLS.ServerTrustPath }),
	}
}

// lower takes one of values in upper case too.
func lower(name, want string, values []string, field func(c *Config) *string) key {
	return text(name, field).by(func(c *Config, v string) error {
		v = strings.ToLower(v)
		if !slices.Contains(values, v) {
			return errors.New(want)
		}
		*field(c) = v
		return nil
	})
}
