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
