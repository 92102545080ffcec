package acl

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// update makes testdata anew:
//
//	ROCKETKIT_APACHE=1 go test ./broker-lite/internal/acl -run Golden -update
var update = flag.Bool("update", false, "write the signed requests of testdata anew, from Apache's classes")

// signedRequest is one frame that Apache's AclClientRPCHook signed
// (conformance/java/golden/Acl.java).
type signedRequest struct {
	Name      string `json:"name"`
	AccessKey string `json:"accessKey"`
	SecretKey string `json:"secretKey"`
	Frame     string `json:"frameHex"`
}

func signedFile(version string) string {
	return filepath.Join("testdata", "signed-"+version+".json")
}

func signedRequests(t testing.TB, version string) []signedRequest {
	t.Helper()
	data, err := os.ReadFile(signedFile(version))
	if err != nil {
		t.Fatal(err)
	}
	var cases []signedRequest
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 32 {
		t.Fatalf("%d signed requests, want at least 32", len(cases))
	}
	return cases
}

func TestGoldenSignaturesOfBothClientGenerationsAreTaken(t *testing.T) {
	t.Parallel()
	for _, version := range []string{apache.V4, apache.V5} {
		for _, g := range signedRequests(t, version) {
			t.Run(version+"/"+g.Name, func(t *testing.T) {
				t.Parallel()
				rules := parse(t, fmt.Sprintf("accounts: [{accessKey: %q, secretKey: %q, admin: true}]", g.AccessKey, g.SecretKey))
				var cmd protocol.Command
				if err := protocol.DecodeFrame(unhex(t, g.Frame), &cmd); err != nil {
					t.Fatal(err)
				}
				if err := rules.Check(elsewhere, &cmd); err != nil {
					t.Fatal(err)
				}
				for i, f := range cmd.Fields {
					if f.Key == FieldSignature || f.Key == FieldAccessKey {
						continue
					}
					changed := cmd
					changed.Fields = append(protocol.Fields(nil), cmd.Fields...)
					for j := range changed.Fields {
						if j == i || changed.Fields[j].Key == f.Key {
							changed.Fields[j].Value += "1"
						}
					}
					wantReason(t, rules.Check(elsewhere, &changed), BadSignature)
				}
				cmd.Body = append(bytes.Clone(cmd.Body), 0)
				wantReason(t, rules.Check(elsewhere, &cmd), BadSignature)
			})
		}
	}
}

// The client's own signer against Apache's signatures. Names beyond ASCII, which no
// header has, are left out.
func TestSignedRequestsCarryTheSignaturesOfApachesClient(t *testing.T) {
	t.Parallel()
	for _, version := range []string{apache.V4, apache.V5} {
		for _, g := range signedRequests(t, version) {
			if strings.HasPrefix(g.Name, "names-") {
				continue
			}
			t.Run(version+"/"+g.Name, func(t *testing.T) {
				t.Parallel()
				var cmd, made protocol.Command
				if err := protocol.DecodeFrame(unhex(t, g.Frame), &cmd); err != nil {
					t.Fatal(err)
				}
				want := cmd.Fields.Value(FieldSignature)
				signer := protocol.NewSigner(g.AccessKey, g.SecretKey, cmd.Fields.Value(FieldSecurityToken))
				given := map[string]string{} // Java's binary codec writes a field twice
				for _, f := range cmd.Fields {
					given[f.Key] = f.Value
				}
				cmd.Fields = nil
				for key, value := range given {
					if key != FieldAccessKey && key != FieldSecurityToken && key != FieldSignature {
						cmd.Fields = append(cmd.Fields, protocol.Field{Key: key, Value: value})
					}
				}
				var enc protocol.Encoder
				frame, err := enc.AppendSigned(nil, &cmd, nil, signer, cmd.Body[:len(cmd.Body)/2], cmd.Body[len(cmd.Body)/2:])
				if err != nil {
					t.Fatal(err)
				}
				if err := protocol.DecodeFrame(frame, &made); err != nil {
					t.Fatal(err)
				}
				if got := made.Fields.Value(FieldSignature); got != want {
					t.Errorf("signature %s, Apache's is %s; fields %v", got, want, made.Fields)
				}
			})
		}
	}
}

func wantReason(t testing.TB, err error, want Reason) {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Errorf("got %v, want a refusal: %v", err, want)
	} else if refusal.Reason != want {
		t.Errorf("got %v (%v), want %v", refusal.Reason, err, want)
	}
}

func TestGoldenSignaturesAreWhatApacheMakesNow(t *testing.T) {
	apache.Require(t)
	for _, version := range []string{apache.V4, apache.V5} {
		out := filepath.Join(t.TempDir(), "signed.json")
		if _, err := apache.RunJava(t.Context(), version, "golden.Acl", "sign", out); err != nil {
			t.Fatal(err)
		}
		made, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(signedFile(version), made, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		kept, err := os.ReadFile(signedFile(version))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(made, kept) {
			t.Errorf("Apache %s signs otherwise than %s says; run with -update and read the difference", version, signedFile(version))
		}
	}
}
