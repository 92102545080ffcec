package conformance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/conformance/peers"
)

// foreignServer is a broker-lite with its defaults, but for how soon it asks about
// half messages.
func foreignServer(t *testing.T, opts ...brokerlite.Option) *brokerlite.Broker {
	t.Helper()
	b, err := brokerlite.Start(t.Context(), append(opts, brokerlite.WithLogger(newLog(t)), brokerlite.TransactionChecks(time.Second, time.Second))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeLite(b); err != nil {
			t.Error(err)
		}
	})
	return b
}

// report notes a foreign client's results, and fails for the failed ones and for
// cases that did not run.
func report(t *testing.T, table, column string, want []string, got []apache.CaseResult) {
	t.Helper()
	ran := map[string]bool{}
	for _, r := range got {
		ran[r.Name] = true
		switch r.Outcome {
		case apache.Pass:
			results.note(table, column, r.Name, passed)
		case apache.Skip:
			results.note(table, column, r.Name, notApplicable+r.Why)
		case apache.Fail:
			results.note(table, column, r.Name, failed)
			t.Errorf("%s: %s", r.Name, r.Why)
		}
	}
	for _, name := range want {
		if !ran[name] {
			t.Errorf("%s did not run", name)
		}
	}
}

// javaPeer runs all cases of the Java client, and notes the results in a column.
func javaPeer(t *testing.T, column string, o apache.PeerOptions) {
	t.Helper()
	names, err := javaCases()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	begun := time.Now()
	got, err := apache.Peer(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	report(t, javaTable, column, names, got)
	t.Logf("%d cases in %s", len(got), time.Since(begun).Round(time.Millisecond))
}

func TestJavaClient(t *testing.T) {
	apache.Require(t)
	takeLane(t)
	for _, version := range []string{apache.V5, apache.V4} {
		for _, binary := range []bool{false, true} {
			column := version + ", JSON"
			if binary {
				column = version + ", binary"
			}
			t.Run(strings.ReplaceAll(column, ", ", "_"), func(t *testing.T) {
				t.Parallel()
				b := foreignServer(t)
				// It behaves as 5.4.0 does, also to the older client.
				javaPeer(t, column, apache.PeerOptions{Client: version, Server: apache.V5, NameServer: b.NameServer(), Binary: binary, TransactionWait: 30 * time.Second})
			})
		}
	}
}

// signedColumn names the runs whose requests are signed: one codec each, since the
// signatures of both are known to be the same.
func signedColumn(version string) (column string, binary bool) {
	if version == apache.V4 {
		return version + ", binary, signed", true
	}
	return version + ", JSON, signed", false
}

// The account is an admin whose topics and groups are checked all the same.
func TestJavaClientThatSigns(t *testing.T) {
	apache.Require(t)
	takeLane(t)
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := foreignServer(t, brokerlite.ACLFile(rulesFile))
			column, binary := signedColumn(version)
			o := apache.PeerOptions{
				Client: version, Server: apache.V5, NameServer: b.NameServer(), Binary: binary, TransactionWait: 30 * time.Second,
				AccessKey: "java-peer", SecretKey: "java-peer-secret",
			}
			javaPeer(t, column, o)

			o.SecretKey, o.Cases = "another-secret", []string{"send-sync"}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got, err := apache.Peer(ctx, o)
			if err != nil || len(got) != 1 || got[0].Outcome != apache.Fail || !strings.Contains(got[0].Why, "Check signature failed for accessKey=java-peer") {
				t.Errorf("with a wrong secret key: %v, %v", got, err)
			}
		})
	}
}

// The same cases on the server that they are about: each is known to be right. In
// JSON only: Apache's own server takes no request code over 32767 in binary, and
// POP's are.
func TestJavaClientOnApache(t *testing.T) {
	apache.Require(t)
	t.Parallel()
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			takeLane(t)
			server := startApacheWith(t, apache.Options{
				Version: version, TransactionCheck: time.Second, // as foreignServer
				BrokerConf: map[string]string{"enablePropertyFilter": "true", "recallMessageEnable": "true"},
			})
			javaPeer(t, javaOnApache(version), apache.PeerOptions{Client: version, Server: version, NameServer: server.NameServer(), TransactionWait: time.Minute})
		})
	}
}

func TestClientGo(t *testing.T) {
	apache.Require(t) // it does not need Java, but minutes
	t.Parallel()      // which it waits through
	names, err := clientGoCases()
	if err != nil {
		t.Fatal(err)
	}
	b := foreignServer(t)
	for i, version := range peers.ClientGoVersions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			begun := time.Now()
			got, err := peers.ClientGo(ctx, version, b.NameServer(), fmt.Sprintf("p%d", i))
			if err != nil {
				t.Fatal(err)
			}
			report(t, clientGoTable, version, names, got)
			t.Logf("%d cases in %s", len(got), time.Since(begun).Round(time.Millisecond))
		})
	}
}
