package sample_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

// runVariable makes the test binary be a sample, which does what the variable says.
const runVariable = "SAMPLE_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		sample.Main(run)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func run(ctx context.Context, client *rocketkit.Client, say sample.Say) error {
	p, err := client.NewProducer("sample_group")
	if err != nil {
		return err
	}
	if _, err := p.Send(ctx, message.New("sample", []byte("x"))); err != nil {
		return err
	}
	came := make(chan bool, 1)
	mux := consumer.NewMux("sample_consumer_group", consumer.From(consumer.First))
	consumer.Handle(mux, "sample", func(context.Context, string) error {
		came <- true
		return nil
	})
	c, err := client.NewConsumer(mux)
	if err != nil {
		return err
	}
	if err := errors.Join(c.Start(ctx), sample.Wait(ctx, came, 1)); err != nil {
		return err
	}
	say("sent")
	switch os.Getenv(runVariable) {
	case "fail":
		return errors.New("no luck")
	case "wait":
		return sample.Wait(ctx, make(chan int), 1)
	}
	return nil
}

func start(t *testing.T, how, nameServer string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), runVariable+"="+how, "NAMESRV_ADDR="+nameServer)
	var out, errs strings.Builder
	cmd.Stderr = &errs
	cmd.Stdout = &out
	if how != "wait" {
		err = cmd.Run()
		return out.String(), errs.String(), err
	}
	cmd.Stdout = nil
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 1000); !strings.Contains(out.String(), "sent\n"); {
		n, err := pipe.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(buf[:n])
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	return out.String(), errs.String(), err
}

func TestASampleRunsOnAServerOfItsOwnOrOnAnother(t *testing.T) {
	t.Parallel()
	const own = `RocketMQ: in this process, name server 127\.0\.0\.1:\d+; set NAMESRV_ADDR to use another\nsent\n`
	for name, tc := range map[string]struct {
		how      string
		stdout   string
		stderr   string
		exitCode int
	}{
		"it ends by itself": {"end", own, "", 0},
		"Ctrl-C ends it":    {"wait", own, "", 0},
		"it fails":          {"fail", own, "no luck\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, err := start(t, tc.how, "")
			code := 0
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				code = exit.ExitCode()
			}
			if !regexp.MustCompile("^"+tc.stdout+"$").MatchString(stdout) || stderr != tc.stderr || code != tc.exitCode {
				t.Errorf("%v\nstdout: %s\nstderr: %s", err, stdout, stderr)
			}
		})
	}
	t.Run("elsewhere", func(t *testing.T) {
		t.Parallel()
		mq := rocketkittest.Start(t)
		stdout, stderr, err := start(t, "end", mq.NameServer())
		if want := "RocketMQ: at " + mq.NameServer() + "\nsent\n"; err != nil || stdout != want || stderr != "" {
			t.Errorf("%v\nstdout: %s\nstderr: %s", err, stdout, stderr)
		}
		mq.SentTo("sample").Exactly(t, rocketkittest.Want{})
	})
}

func TestTheTableHasEverySample(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "internal" {
			continue
		}
		if samples[e.Name()] == "" && e.Name() != "payments" { // which is a service, and has a test of its own
			t.Errorf("%s does not run on Apache RocketMQ in tests", e.Name())
		}
		if !strings.Contains(string(page), "| ["+e.Name()+"]("+e.Name()) {
			t.Errorf("%s is not in examples/README.md", e.Name())
		}
	}
}
