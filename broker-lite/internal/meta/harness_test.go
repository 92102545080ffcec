package meta

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/store"

func options(fsys vfs.FS) Options {
	return Options{
		FS: fsys, Dir: dir, ClusterName: "DefaultCluster", BrokerName: "broker-a",
		AutoCreateTopic: true, AutoCreateGroup: true, ClusterTopic: true, BrokerTopic: true,
		TraceTopicName: "RMQ_SYS_TRACE_TOPIC", TimerTopic: true, DefaultTopicQueueNums: 8, DelayLevels: 18,
	}
}

func open(t *testing.T, o Options) *Meta {
	t.Helper()
	m, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// reopen is what another process finds after this one was killed.
func reopen(t *testing.T, fsys *vfs.Mem) *Meta {
	t.Helper()
	return open(t, options(fsys.Clone()))
}

func must(t *testing.T, ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.Fatalf(format, args...)
	}
}

func readFile(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	data, err := vfs.ReadFile(fsys, filepath.Join(dir, "config", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// install puts the files that Apache wrote into a store.
func install(t *testing.T, fsys vfs.FS, release string) {
	t.Helper()
	if err := vfs.MkdirAllSync(fsys, filepath.Join(dir, "config"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"topics.json", "subscriptionGroup.json", "consumerOffset.json"} {
		put(t, fsys, name, fixture(t, release, name))
	}
}

func fixture(t *testing.T, release, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", release, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func put(t *testing.T, fsys vfs.FS, name, content string) {
	t.Helper()
	f, err := fsys.OpenFile(filepath.Join(dir, "config", name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// writes counts, by file, how often a state's file was written.
type writes struct {
	mu sync.Mutex // guards the following
	n  map[string]int
}

func (w *writes) after(c vfs.Call, err error) {
	if c.Op != vfs.OpRename || err != nil || strings.HasSuffix(c.Path, ".bak") {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n[filepath.Base(c.Path)]++
}

func (w *writes) of(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n[name]
}

func counted(fsys vfs.FS) (vfs.FS, *writes) {
	w := &writes{n: map[string]int{}}
	return vfs.NewFaulty(fsys, vfs.Hooks{After: w.after}), w
}

// failing lets every write of a state's file fail while on is set.
type failing struct{ on atomic.Bool }

func (f *failing) before(c vfs.Call) vfs.Fault {
	if f.on.Load() && c.Op == vfs.OpWrite {
		return vfs.Fault{Err: os.ErrPermission}
	}
	return vfs.Fault{}
}

type logBuffer struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func logTo(l *logBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func config(name string, queues, perm int32) protocol.TopicConfig {
	return protocol.TopicConfig{TopicName: name, ReadQueueNums: queues, WriteQueueNums: queues, Perm: perm, TopicFilterType: protocol.SingleTag}
}
