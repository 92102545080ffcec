package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// childDir names the store of the process that TestKilledProcess… starts.
const childDir = "STORE_TEST_CHILD_DIR"

func childOptions(dir string) Options {
	return Options{FS: vfs.OS(), Dir: dir, SegmentSize: 256 << 10, QueueFileEntries: 300, CheckpointBytes: 512 << 10}
}

func TestKilledProcessLosesNothingThatItAnswered(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		appendUntilKilled(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	acked := map[string]bool{}
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprint("ROUND=", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killed := false
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			acked[lines.Text()] = true
			if n == 3000*(round+1) {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				killed = true
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || !killed {
			t.Fatalf("the process was not killed, or ended well: %v", err)
		}
		s, err := Open(context.Background(), childOptions(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkConsistent(s); err != nil {
			t.Fatal(err)
		}
		list, err := listStored(s)
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, r := range list {
			have[r.body] = true
		}
		for body := range acked {
			if strings.HasPrefix(body, "round") && !have[body] {
				t.Fatalf("round %d: %q was answered and is lost", round, body)
			}
		}
		mustClose(t, s)
	}
}

// printAnswer prints a record's body once it is answered.
type printAnswer struct {
	body string
	left chan struct{}
}

func (p *printAnswer) Appended(r AppendResult) {
	if r.Err == nil {
		fmt.Fprintln(os.Stdout, p.body)
	}
	<-p.left
}

func appendUntilKilled(t *testing.T, dir string) {
	s, err := Open(context.Background(), childOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	window := make(chan struct{}, 64)
	for i := range 1 << 20 {
		window <- struct{}{}
		body := fmt.Sprintf("round %s record %d %s", os.Getenv("ROUND"), i, strings.Repeat("x", i%500))
		q := int32(i % 5)
		s.Append(&Append{Topic: "orders", QueueID: q, Records: record(t, "orders", q, "t", []byte(body)),
			TagsCodes: []int64{tagsCodeOf("t")}, Done: &printAnswer{body, window}})
	}
}
