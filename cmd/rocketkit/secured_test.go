package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/internal/testcert"
)

// Commands sign and encrypt their requests as a client's configuration says.
func TestCommandsReachAServerWithACLAndTLS(t *testing.T) {
	t.Parallel()
	ca := testcert.New(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules := write("plain_acl.yml", "accounts:\n- accessKey: operator\n  secretKey: secret-of-operator\n  admin: true\n")
	c, _ := withServer(t, brokerlite.ACLFile(rules), brokerlite.RequireTLS(),
		brokerlite.WithTLS(&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.Server()}}))
	encrypted := fmt.Sprintf("tls:\n  enabled: true\n  ca_file: %s\n", ca.File())
	plain := write("plain.yaml", "name_servers: ["+c.nameServer+"]\n")
	unsigned := write("unsigned.yaml", encrypted)
	whole := write("whole.yaml", encrypted+"credentials:\n  access_key: operator\n  secret_key_file: "+write("secret", "secret-of-operator\n")+"\n")

	for conf, want := range map[string]string{plain: "does the server require TLS", unsigned: "NO_PERMISSION", filepath.Join(dir, "none.yaml"): "no such file"} {
		if o := c.run("topic", "create", "orders", "--config", conf); o.err == nil || !strings.Contains(o.err.Error(), want) {
			t.Errorf("with %s: %v, want %q", filepath.Base(conf), o.err, want)
		}
	}
	c.must("topic", "create", "orders", "--config", whole)
	ids(t, c.must("send", "-t", "orders", "--body", "hello", "--config", whole))
	if out := c.must("consume", "-t", "orders", "-g", "look", "--from", "first", "--max", "1", "--config", whole); !strings.Contains(out, `msg="hello"`) {
		t.Errorf("consume prints %q", out)
	}
}

// secured starts a server with ACL that requires TLS, and a certificate of its
// clients when they are to show one.
func secured(t *testing.T, ca *testcert.CA, clients tls.ClientAuthType) cli {
	t.Helper()
	rules := filepath.Join(t.TempDir(), "plain_acl.yml")
	text := "accounts:\n- accessKey: operator\n  secretKey: secret-of-operator\n  admin: true\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _ := withServer(t, brokerlite.ACLFile(rules), brokerlite.RequireTLS(), brokerlite.WithTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.Server()}, ClientAuth: clients, ClientCAs: ca.Pool(),
	}))
	return c
}

// secretFile holds a secret key.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsSignAndEncrypt(t *testing.T) {
	t.Parallel()
	ca := testcert.New(t)
	cert, key := testcert.Files(t, ca.Client())
	c := secured(t, ca, tls.RequireAndVerifyClientCert)
	account := []string{"--access-key", "operator", "--secret-key-file", secretFile(t, "secret-of-operator"), "--tls-cert", cert, "--tls-key", key}
	for _, verified := range [][]string{{"--tls-ca", ca.File()}, {"--tls-insecure"}} {
		flags := append(verified, account...)
		group := "look" + strings.TrimLeft(verified[0], "-")
		c.must(append([]string{"topic", "create", "orders"}, flags...)...)
		ids(t, c.must(append([]string{"send", "-t", "orders", "--body", "hello"}, flags...)...))
		if out := c.must(append([]string{"consume", "-t", "orders", "-g", group, "--from", "first", "--max", "1"}, flags...)...); !strings.Contains(out, `msg="hello"`) {
			t.Errorf("consume prints %q", out)
		}
		if out := c.must(append([]string{"topic", "status", "orders"}, flags...)...); !strings.Contains(out, "Messages: ") {
			t.Errorf("topic status prints %q", out)
		}
	}
}

// Each mistake is told with the flag that mends it.
func TestWrongCredentialsAndCertificatesAreExplained(t *testing.T) {
	t.Parallel()
	ca, other := testcert.New(t), testcert.New(t)
	whole := secured(t, ca, tls.NoClientCert)
	asking := secured(t, ca, tls.RequireAndVerifyClientCert)
	plain, _ := withServer(t)
	right, wrong := secretFile(t, "secret-of-operator"), secretFile(t, "another")
	cert, key := testcert.Files(t, ca.Client())
	for name, tc := range map[string]struct {
		server cli
		flags  []string
		want   string
	}{
		"no TLS":               {whole, nil, "does the server require TLS? want --tls"},
		"TLS of a plain one":   {plain, []string{"--tls-insecure"}, "does the server take TLS?"},
		"unknown authority":    {whole, []string{"--tls-ca", other.File()}, "want --tls-ca"},
		"another name":         {whole, []string{"--tls-ca", ca.File(), "--tls-server-name", "elsewhere.test"}, "want --tls-server-name"},
		"no certificate":       {asking, []string{"--tls-ca", ca.File()}, "--tls-cert and --tls-key"},
		"no access key":        {whole, []string{"--tls-ca", ca.File()}, "want --access-key and --secret-key-file"},
		"wrong secret key":     {whole, []string{"--tls-ca", ca.File(), "--access-key", "operator", "--secret-key-file", wrong}, "Check signature failed for accessKey=operator"},
		"unknown access key":   {whole, []string{"--tls-ca", ca.File(), "--access-key", "nobody", "--secret-key-file", right}, "No acl config for nobody"},
		"access key only":      {whole, []string{"--access-key", "operator"}, "want --secret-key-file"},
		"secret key only":      {whole, []string{"--secret-key-file", right}, "want --access-key"},
		"empty secret":         {whole, []string{"--access-key", "operator", "--secret-key-file", secretFile(t, "")}, "is empty"},
		"certificate only":     {whole, []string{"--tls-cert", cert}, "want --tls-key"},
		"private key only":     {whole, []string{"--tls-key", key}, "want --tls-cert"},
		"verified, or not":     {whole, []string{"--tls-insecure", "--tls-ca", ca.File()}, "verifies nothing"},
		"authority is no file": {whole, []string{"--tls-ca", "none.pem"}, "none.pem"},
	} {
		for _, command := range [][]string{{"topic", "create", "orders"}, {"send", "-t", "orders", "--body", "x"}} {
			o := tc.server.run(append(command, tc.flags...)...)
			if o.err == nil || !strings.Contains(o.err.Error(), tc.want) {
				t.Errorf("%s: %s: %v, want %q", name, command[0], o.err, tc.want)
			}
			if strings.Contains(fmt.Sprint(o), "secret-of-operator") {
				t.Errorf("%s: %s prints the secret key: %v", name, command[0], o)
			}
		}
	}
}

func TestTheEnvironmentHasTheSecretKey(t *testing.T) {
	ca := testcert.New(t)
	c := secured(t, ca, tls.NoClientCert)
	t.Setenv("ROCKETMQ_TLS_ENABLED", "true")
	t.Setenv("ROCKETMQ_TLS_CA_FILE", ca.File())
	t.Setenv("ROCKETMQ_CREDENTIALS_ACCESS_KEY", "nobody")
	t.Setenv("ROCKETMQ_CREDENTIALS_SECRET_KEY", "secret-of-operator")
	if o := c.run("topic", "create", "orders"); o.err == nil || !strings.Contains(o.err.Error(), "No acl config for nobody") {
		t.Errorf("as nobody: %v", o.err)
	}
	c.must("topic", "create", "orders", "--access-key", "operator") // a flag wins
}
