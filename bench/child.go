package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

// childEnv makes a process of this program a child: it reads a job from its
// standard input and prints the sample.
const childEnv = "ROCKETKIT_BENCH_CHILD"

// childMain runs one job and returns the exit code.
func childMain(in io.Reader, out, errOut io.Writer) int {
	dec := json.NewDecoder(in)
	var j job
	if err := dec.Decode(&j); err != nil {
		fmt.Fprintln(errOut, "bench: read the job:", err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the parent keeps the input open for as long as it lives
		if _, err := io.Copy(io.Discard, io.MultiReader(dec.Buffered(), in)); err == nil {
			cancel()
		}
	}()
	s, err := runJob(ctx, &j)
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return 1
	}
	if err := json.NewEncoder(out).Encode(s); err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return 2
	}
	return 0
}

// runJob runs a job, with the server in this process when it is embedded.
func runJob(ctx context.Context, j *job) (s sample, err error) {
	if j.Server != embedded {
		return runRow(ctx, j)
	}
	b, err := brokerlite.Start(ctx, brokerlite.Dir(j.Dir))
	if err != nil {
		return sample{}, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, b.Close(closing), os.RemoveAll(j.Dir))
	}()
	j.NameServer, j.Broker = b.NameServer(), b.Addr()
	if err := createTopics(ctx, j.NameServer, j.Broker); err != nil {
		return sample{}, err
	}
	if j.Row == rowConsume {
		if err := fill(ctx, j.NameServer, j.Body, j.Limit); err != nil {
			return sample{}, err
		}
	}
	return runRow(ctx, j)
}

func runRow(ctx context.Context, j *job) (sample, error) {
	if j.Row == rowFill {
		return sample{}, fill(ctx, j.NameServer, j.Body, j.Limit)
	}
	return perform(ctx, j)
}

// childGrace is what a job may take on top of its own times: connecting, the
// first message of a consumer, the last answers.
const childGrace = 2 * time.Minute

// spawn runs a job in a process of its own. A process that dies is a sample with
// Crash set; an error means that nothing can be measured.
func spawn(ctx context.Context, j *job) (sample, error) {
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return sample{}, err
	}
	limit, cancel := context.WithTimeout(ctx, j.Warm+j.Measure+childGrace)
	defer cancel()
	cmd := exec.CommandContext(limit, self)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.WaitDelay = 5 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return sample{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	_, writeErr := stdin.Write(append(text, '\n')) // a child that cannot read it dies, and says why
	waitErr := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return sample{}, ctx.Err()
	case limit.Err() != nil:
		return sample{Crash: fmt.Sprintf("no result after %v", j.Warm+j.Measure+childGrace)}, nil
	case waitErr != nil || writeErr != nil:
		return sample{Crash: deathOf(stderr.String(), errors.Join(waitErr, writeErr))}, nil
	}
	var s sample
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		return sample{Crash: fmt.Sprintf("the result cannot be read: %v", err)}, nil
	}
	return s, nil
}

// deathOf is why a process died: the line in which it says so.
func deathOf(stderr string, err error) string {
	for line := range strings.Lines(stderr) {
		for _, sign := range []string{"panic:", "fatal error:", "bench:"} {
			if strings.HasPrefix(line, sign) {
				return strings.TrimSpace(line)
			}
		}
	}
	return err.Error()
}
