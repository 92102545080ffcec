package acl

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// write replaces a file's content in place, as an editor does.
func write(t testing.TB, fsys vfs.FS, name, text string) {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(text), 0)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// messages is a log that is counted.
type messages struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.buf.Write(p)
}

func (m *messages) count(text string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Count(m.buf.String(), text)
}

const (
	ruleFile = "plain_acl.yml"
	notTaken = "ACL rules not reloaded"
)

func open(t *testing.T, fsys vfs.FS) (*Guard, *messages) {
	t.Helper()
	var m messages
	g, err := Open(fsys, ruleFile, slog.New(slog.NewTextHandler(&m, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return g, &m
}

// allowed reports whether the rules in force let the user send.
func allowed(g *Guard) bool {
	return g.Check(elsewhere, signedBy(userKey, request(310, "b=t"))) == nil
}

func TestReloadTakesNewContentAndKeepsOldRulesOverBroken(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	if _, err := Open(fsys, ruleFile, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("opened without a file")
	}
	write(t, fsys, ruleFile, "accounts: {}")
	if _, err := Open(fsys, ruleFile, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("opened with a broken file")
	}
	write(t, fsys, ruleFile, userRules())
	g, log := open(t, fsys)
	steps := []struct {
		text            string
		changed, broken bool
		allowed         bool
	}{
		{userRules(), false, false, false},
		{userRules("topicPerms: [t=PUB]"), true, false, true},
		{"accounts: {}", false, true, true},
		{"", false, true, true},
		{userRules("topicPerms: [t=PUB]"), false, false, true},
		{userRules("topicPerms: [t=SUB]"), true, false, false},
	}
	for i, s := range steps {
		write(t, fsys, ruleFile, s.text)
		before := g.Rules()
		err := reload(g)
		if changed := g.Rules() != before; changed != s.changed || (err != nil) != s.broken || allowed(g) != s.allowed {
			t.Errorf("step %d: changed %v, %v, allowed %v", i, changed, err, allowed(g))
		}
	}
	if n := log.count("ACL rules reloaded"); n != 2 {
		t.Errorf("%d reloads were logged, want 2", n)
	}
}

// reload uses the file as it is, without a second look.
func reload(g *Guard) error {
	data, err := readFile(g.fsys, g.name)
	if err != nil {
		return err
	}
	return g.use(data, sha256.Sum256(data))
}

func TestRingTakesContentThatStandsStill(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	write(t, fsys, ruleFile, userRules())
	g, log := open(t, fsys)
	now := time.Unix(1000, 0)
	ring := func(want bool) {
		t.Helper()
		if next := g.Ring(now); next != now.Add(WatchInterval) {
			t.Errorf("rings again at %v", next)
		}
		if allowed(g) != want {
			t.Errorf("allowed %v, want %v", !want, want)
		}
	}
	good := userRules("topicPerms: [t=PUB]")
	ring(false)
	write(t, fsys, ruleFile, good[:len(good)/2]) // half written
	ring(false)
	write(t, fsys, ruleFile, good)
	ring(false)
	ring(true)
	write(t, fsys, ruleFile, "accounts: {}")
	for range 4 {
		ring(true)
	}
	if n := log.count(notTaken); n != 1 {
		t.Errorf("a broken file was logged %d times, want once", n)
	}
	write(t, fsys, ruleFile, good)
	for range 3 {
		ring(true)
	}
	if err := fsys.Remove(ruleFile); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ring(true)
	}
	if n := log.count(notTaken); n != 2 {
		t.Errorf("a missing file was logged %d times, want once", n-1)
	}
	write(t, fsys, ruleFile, userRules())
	ring(true)
	ring(false)
}

func TestAnAlarmDrivesTheGuard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		write(t, fsys, ruleFile, userRules())
		g, _ := open(t, fsys)
		a := alarm.Start(0, g.Ring)
		defer a.Stop()
		a.Set(time.Now())
		time.Sleep(time.Hour) // of the bubble
		write(t, fsys, ruleFile, userRules("topicPerms: [t=PUB]"))
		time.Sleep(2 * WatchInterval)
		synctest.Wait()
		if !allowed(g) {
			t.Error("the new rules are not in force after two looks")
		}
	})
}

func TestReloadWhileRequestsAreChecked(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	texts := []string{userRules("topicPerms: [t=PUB]"), userRules("topicPerms: [t=PUB|SUB]")}
	write(t, fsys, ruleFile, texts[0])
	g, _ := open(t, fsys)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 100 {
				if !allowed(g) {
					t.Error("a request was refused during a reload")
				}
			}
		})
	}
	for i := range 50 {
		name := "new.yml"
		write(t, fsys, name, texts[i%2])
		if err := fsys.Rename(name, ruleFile); err != nil {
			t.Fatal(err)
		}
		if err := reload(g); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}
