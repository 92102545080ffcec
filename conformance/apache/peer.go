package apache

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// BinaryHeaders is the JVM flag that makes Apache's Java clients write their
// headers in the binary (ROCKETMQ) codec.
const BinaryHeaders = "-Drocketmq.serialize.type=ROCKETMQ"

// PeerOptions of [Peer].
type PeerOptions struct {
	// Client is the version of Apache's Java client; V5 unless set.
	Client string
	// NameServer is the "host:port" to run against. Required.
	NameServer string
	// Server is the version that the server is or behaves like; V5 unless set.
	Server string
	// Cases names the cases; none means all of them.
	Cases []string
	// Prefix begins the names of the cases' topics and groups: "prefix_t_case" and
	// "prefix_g_case"; one of its own unless set.
	Prefix string
	// AccessKey and SecretKey sign every request, for servers with ACL.
	AccessKey, SecretKey string
	// Binary makes the client write binary headers.
	Binary bool
	// TransactionWait is how long the check-back of a half message may take; 0
	// leaves that case out.
	TransactionWait time.Duration
	// JVM holds further flags of the client's JVM, such as "-Dtls.enable=true".
	JVM []string
}

// Outcome of one case.
type Outcome string

// The outcomes that the Java peer prints.
const (
	Pass Outcome = "PASS"
	Fail Outcome = "FAIL"
	Skip Outcome = "SKIP"
)

// CaseResult is one line of the Java peer.
type CaseResult struct {
	Name    string
	Outcome Outcome
	Why     string // of a failure or of what was left out
}

// Peer runs the cases of conformance/java's client program. Failed cases are
// results, not an error; the error says that the program itself did not run to
// its end.
func Peer(ctx context.Context, o PeerOptions) ([]CaseResult, error) {
	if o.NameServer == "" {
		return nil, errors.New("apache: PeerOptions.NameServer is empty")
	}
	args := []string{"--name-server", o.NameServer}
	if o.Server != "" {
		args = append(args, "--server", o.Server)
	}
	if len(o.Cases) > 0 {
		args = append(args, "--cases", strings.Join(o.Cases, ","))
	}
	if o.Prefix != "" {
		args = append(args, "--prefix", o.Prefix)
	}
	if o.AccessKey != "" {
		args = append(args, "--access-key", o.AccessKey, "--secret-key", o.SecretKey)
	}
	if o.TransactionWait > 0 {
		args = append(args, "--transaction-ms", strconv.FormatInt(o.TransactionWait.Milliseconds(), 10))
	}
	p := Program{Version: o.Client, JVM: append(shortLived(), o.JVM...), Main: "peer.Peer", Args: args}
	if o.Binary {
		p.JVM = append(p.JVM, BinaryHeaders)
	}
	out, err := p.Run(ctx)
	results := parseResults(out)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && failed(results) {
		return results, nil // the failures say it all
	}
	if err == nil && len(results) == 0 {
		err = fmt.Errorf("apache: the Java peer printed no result:\n%s", tail([]byte(out), 2000))
	}
	return results, err
}

func parseResults(out string) []CaseResult {
	var results []CaseResult
	for line := range strings.Lines(out) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch o := Outcome(word); o {
		case Pass, Fail, Skip:
			name, why, _ := strings.Cut(rest, ": ")
			results = append(results, CaseResult{Name: name, Outcome: o, Why: why})
		}
	}
	return results
}

func failed(results []CaseResult) bool {
	for _, r := range results {
		if r.Outcome == Fail {
			return true
		}
	}
	return false
}
