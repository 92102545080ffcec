package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

// The server's own topics are enough: a queue that is damaged is found, and built anew.
func TestStoreCheckAndRepair(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b, err := brokerlite.Start(t.Context(), brokerlite.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		root := newRoot()
		root.SetArgs(append([]string{"store"}, args...))
		root.SetOut(&out)
		root.SetErr(&out)
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	if _, err := run("check", dir); err == nil || !strings.Contains(err.Error(), "stop the server") {
		t.Errorf("check beside a server: %v", err)
	}
	c := cli{t, b.NameServer()}
	if got := c.run("send", "-t", "orders", "--body", "hello"); got.err != nil {
		t.Fatal(got.err)
	}
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if out, err := run("check", dir); err != nil || !strings.Contains(out, "0 places damaged") {
		t.Fatalf("check: %v\n%s", err, out)
	}
	conf := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(conf, []byte("storePathRootDir="+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run("check", "-c", conf); err != nil || !strings.Contains(out, "0 places damaged") {
		t.Errorf("check of the directory in broker.conf: %v\n%s", err, out)
	}
	if _, err := run("check"); err == nil || !strings.Contains(err.Error(), "broker.conf with -c") {
		t.Errorf("check of nothing: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "consumequeue", "orders", "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[5] ^= 1
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run("check", dir); err == nil || !strings.Contains(out, "damaged queue: "+files[0]) {
		t.Errorf("check of a damaged queue: %v\n%s", err, out)
	}
	if out, err := run("repair", dir); err != nil || !strings.Contains(out, "the files as they were are in "+dir+".backup-") {
		t.Errorf("repair: %v\n%s", err, out)
	}
	if out, err := run("repair", dir); err != nil || !strings.Contains(out, "nothing to repair") {
		t.Errorf("repair again: %v\n%s", err, out)
	}
}
