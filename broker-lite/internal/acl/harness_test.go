package acl

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// The accounts of most tests, and where their requests come from.
const (
	userKey   = "shopuser"
	adminKey  = "shopadmin"
	secretKey = "12345678"
)

var elsewhere = netip.MustParseAddr("203.0.113.9")

func parse(t testing.TB, text string) *Rules {
	t.Helper()
	r, err := Parse("plain_acl.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// userRules are rules for userKey with these further lines, and an admin.
func userRules(lines ...string) string {
	var b strings.Builder
	b.WriteString("accounts:\n- accessKey: " + userKey + "\n  secretKey: " + secretKey + "\n")
	for _, l := range lines {
		b.WriteString("  " + l + "\n")
	}
	b.WriteString("- accessKey: " + adminKey + "\n  secretKey: " + secretKey + "\n  admin: true\n")
	return b.String()
}

// sign adds what a client adds: it is written apart from the code under test, over
// fields whose names are plain ASCII. Of a name that occurs twice the last counts.
func sign(cmd *protocol.Command, accessKey, secret string, leaveOut ...string) {
	cmd.Fields = append(cmd.Fields, protocol.Field{Key: "AccessKey", Value: accessKey})
	fields := slices.Clone(cmd.Fields)
	slices.SortFunc(fields, func(a, b protocol.Field) int { return strings.Compare(a.Key, b.Key) })
	fields = slices.CompactFunc(fields, func(a, b protocol.Field) bool { return a.Key == b.Key })
	mac := hmac.New(sha1.New, []byte(secret))
	for _, f := range fields {
		if !slices.Contains(leaveOut, f.Key) {
			mac.Write([]byte(cmd.Fields.Value(f.Key)))
		}
	}
	mac.Write(cmd.Body)
	cmd.Fields = append(cmd.Fields, protocol.Field{Key: "Signature", Value: base64.StdEncoding.EncodeToString(mac.Sum(nil))})
}

// request is a request of a 5.x client with "name=value" fields.
func request(code protocol.Code, fields ...string) *protocol.Command {
	cmd := &protocol.Command{Code: code, Version: 413}
	for _, f := range fields {
		k, v, _ := strings.Cut(f, "=")
		cmd.Fields = append(cmd.Fields, protocol.Field{Key: k, Value: v})
	}
	return cmd
}

func signedBy(accessKey string, cmd *protocol.Command) *protocol.Command {
	sign(cmd, accessKey, secretKey)
	return cmd
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
