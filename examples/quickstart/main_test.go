package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/rocketkittest"
)

// runVariable makes the test binary be the program.
const runVariable = "QUICKSTART_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		main()
		os.Exit(0) // after main's deferred calls
	}
	goleak.VerifyTestMain(m)
}

// quickstart runs the program with a name server, "" for none.
func quickstart(t *testing.T, nameServer string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), runVariable+"=1", "NAMESRV_ADDR="+nameServer)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func TestItSendsReceivesAndEnds(t *testing.T) {
	t.Parallel()
	elsewhere := rocketkittest.Start(t)
	for name, tc := range map[string]struct{ nameServer, server string }{
		"with a server of its own": {"", `Server:   runs in this process, name server 127\.0\.0\.1:\d+\n`},
		"with NAMESRV_ADDR":        {elsewhere.NameServer(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, err := quickstart(t, tc.nameServer)
			want := `^` + tc.server + `Sent:     SendResult \[sendStatus=SEND_OK, msgId=(\w{32}),.*\]\nReceived: "Hello RocketMQ", tag tag1, msgId (\w{32})\n$`
			ids := regexp.MustCompile(want).FindStringSubmatch(stdout)
			if err != nil || stderr != "" || ids == nil || ids[1] != ids[2] {
				t.Errorf("%v\nstdout: %s\nstderr: %s", err, stdout, stderr)
			}
		})
	}
}

func TestItSaysThatNoServerIsThere(t *testing.T) {
	t.Parallel()
	// A port that was free a moment ago: nothing listens.
	gone := rocketkittest.Start(t)
	addr := gone.NameServer()
	if err := gone.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, stderr, err := quickstart(t, addr)
	if err == nil || !strings.Contains(stderr, "no name server reachable") || !strings.Contains(stderr, addr) {
		t.Errorf("%v\nstderr: %s", err, stderr)
	}
}
