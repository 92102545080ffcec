package acl

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(distributed))
	f.Add([]byte(userRules("topicPerms: [a=PUB, '%RETRY%g=SUB']", "whiteRemoteAddress: '2001:db8:*'")))
	f.Add([]byte("accounts:\n- &a {accessKey: 1234567, secretKey: x1234567, admin: yes}\n- *a\n"))
	f.Add([]byte("accounts: [{accessKey: shopuser, secretKey: 0x1234567, topicPerms: {a: PUB}}]\n---\n{}"))
	f.Add([]byte("globalWhiteRemoteAddresses: [~, 1, true, 10.1.2.0-3, {}]\n? [a]\n: b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse("f", data)
		if (r == nil) != (err != nil) {
			t.Fatalf("%v, %v", r, err)
		}
		if err != nil {
			joined, ok := err.(interface{ Unwrap() []error })
			if !ok || len(joined.Unwrap()) > maxErrors+1 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, e := range joined.Unwrap() {
				var at *FileError
				if !errors.As(e, &at) || at.File != "f" || at.Line < 0 {
					t.Errorf("%T %v", e, e)
				}
			}
			return
		}
		for key, a := range r.accounts {
			if lengthJava(key) <= 6 || a.accessKey != key {
				t.Errorf("account %q", key)
			}
			cmd := request(310, "b=t")
			cmd.Fields = append(cmd.Fields, protocol.Field{Key: FieldAccessKey, Value: key})
			if err := r.Check(netip.Addr{}, cmd); err == nil && !a.white.all && len(r.white) == 0 {
				t.Errorf("an unsigned request of %q is taken", key)
			}
		}
	})
}

func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"*", "10.1.2.*", "10.1.2.3-9", "10.1-2.*.*", "10.1.2.{3,4}", "10.1.2.3,::1", "2001:db8:*", "2001:db8::5:1-ff:*", "::{1,2}", "2001:::*", "::ffff:1.2.3.*"} {
		f.Add(s, "10.1.2.3")
		f.Add(s, "2001:db8::1")
	}
	f.Fuzz(func(t *testing.T, s, address string) {
		p, err := ParsePattern(s)
		if err != nil {
			var bad *PatternError
			if !errors.As(err, &bad) {
				t.Errorf("%T", err)
			}
			return
		}
		addr, err := netip.ParseAddr(address)
		if err != nil {
			addr = netip.Addr{}
		}
		in := p.Match(addr.Unmap().WithZone(""))
		if blank := strings.TrimSpace(s) == ""; in && (blank || !addr.IsValid() && !p.all) {
			t.Errorf("%q matches %v", s, addr)
		}
		if _, err := netip.ParseAddr(s); err == nil && !p.Match(netip.MustParseAddr(s)) {
			t.Errorf("%q does not match itself", s)
		}
	})
}

// FuzzCheck is for the steps after decoding: nothing but the holder of the secret key
// gets in, and nothing panics.
func FuzzCheck(f *testing.F) {
	for _, version := range []string{apache.V4, apache.V5} {
		for _, g := range signedRequests(f, version) {
			f.Add(unhex(f, g.Frame))
		}
	}
	text := userRules("defaultTopicPerm: PUB|SUB", "defaultGroupPerm: SUB")
	f.Fuzz(func(t *testing.T, frame []byte) {
		var cmd protocol.Command
		if protocol.DecodeFrame(frame, &cmd) != nil {
			return
		}
		rules := parse(t, text)
		err := rules.Check(elsewhere, &cmd)
		var refusal *Refusal
		if !errors.As(err, &refusal) || len(refusal.Remark()) > 1024 {
			t.Fatalf("%v: %v", cmd.Fields, err)
		}
		signedBy(userKey, &cmd)
		err = rules.Check(elsewhere, &cmd)
		if errors.As(err, &refusal) && refusal.Reason == BadSignature && ascii(cmd.Fields) {
			t.Errorf("a signed request: %v: %v", cmd.Fields, err)
		}
	})
}

// ascii reports whether the test's own signing, by bytes, orders the names as Java does.
func ascii(fields protocol.Fields) bool {
	for _, f := range fields {
		if strings.ContainsFunc(f.Key, func(r rune) bool { return r > 127 }) || f.Key == FieldSignature && f != fields[len(fields)-1] {
			return false
		}
	}
	return true
}
