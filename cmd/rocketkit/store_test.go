package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	run := func(args ...string) (string, error) { return storeCommand(t, args...) }
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

// storeCommand runs a command of "rocketkit store".
func storeCommand(t *testing.T, args ...string) (string, error) {
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"store"}, args...))
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestStoreDumpListsRecordsAndDamage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	b, err := brokerlite.Start(t.Context(), brokerlite.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	c := cli{t, b.NameServer()}
	for _, args := range [][]string{
		{"-t", "orders", "--tag", "paid", "--key", "k1", "--key", "k2", "--body", "hello"}, {"-t", "pay", "--body", "world"}, {"-t", "orders", "--body", "bye"},
	} {
		if got := c.run(append([]string{"send"}, args...)...); got.err != nil {
			t.Fatal(got.err)
		}
	}
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	orders := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} phys=0 topic=orders queue=\d+ offset=0 size=\d+ sysFlag=0 tags=paid keys=k1,k2\n`)
	out, err := storeCommand(t, "dump", dir, "-t", "orders")
	if err != nil || !orders.MatchString(out) || strings.Count(out, "topic=orders") != 2 || strings.Contains(out, "topic=pay") {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err = storeCommand(t, "dump", dir, "-t", "orders", "-n", "1", "--json")
	line, notes, _ := strings.Cut(out, "\n")
	var rec struct {
		Topic          string
		PhysicalOffset int64
		Size           int64
		Tags           string
		Keys           []string
		QueueID        int
		StoreTimestamp int64
	}
	if jerr := json.Unmarshal([]byte(line), &rec); err != nil || jerr != nil || notes != "1 records listed, 1 read\n" {
		t.Fatalf("%v, %v\n%s", err, jerr, out)
	}
	if rec.Topic != "orders" || rec.Tags != "paid" || strings.Join(rec.Keys, " ") != "k1 k2" || rec.Size == 0 || rec.StoreTimestamp == 0 {
		t.Errorf("%+v", rec)
	}
	if out, err = storeCommand(t, "dump", dir, "--from", fmt.Sprint(rec.Size), "--to", fmt.Sprint(rec.Size+1)); err != nil || !strings.Contains(out, "topic=pay") || !strings.Contains(out, "1 records listed, 1 read") {
		t.Errorf("from one to the next: %v\n%s", err, out)
	}
	if out, err = storeCommand(t, "dump", dir, "-t", "orders", "--queue", fmt.Sprint(rec.QueueID+1000)); err != nil || !strings.HasPrefix(out, "0 records listed") {
		t.Errorf("a queue without records: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"--from", "-1"}, {"--from", "7", "--to", "7"}, {"-n", "-1"}, {"--queue", "-1"}} {
		if _, err := storeCommand(t, append([]string{"dump", dir}, args...)...); err == nil || !strings.Contains(err.Error(), args[len(args)-2]) {
			t.Errorf("dump %v: %v", args, err)
		}
	}

	log := filepath.Join(dir, "commitlog", strings.Repeat("0", 20))
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	data[rec.Size+90] ^= 1
	if err := os.WriteFile(log, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = storeCommand(t, "dump", dir)
	want := fmt.Sprintf("\ndamaged log: %s: physical offsets %d to ", log, rec.Size)
	if err == nil || !strings.Contains(err.Error(), "damaged in 1 places") || !strings.Contains(out, want) || strings.Contains(out, "topic=pay") || strings.Count(out, "topic=orders") != 2 {
		t.Errorf("damaged: %v\n%s", err, out)
	}
	if out, err = storeCommand(t, "dump", dir, "--json"); err == nil || !strings.Contains(out, fmt.Sprintf(`{"kind":"damaged log","file":%q,"offset":%d,`, log, rec.Size)) {
		t.Errorf("damaged, in JSON: %v\n%s", err, out)
	}
}
