package meta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// Options configure a Meta. The names behind the fields are broker.conf's.
type Options struct {
	FS     vfs.FS
	Dir    string       // storePathRootDir; the files are in its config directory
	Logger *slog.Logger // nil discards

	ClusterName           string // brokerClusterName
	BrokerName            string // brokerName
	AutoCreateTopic       bool   // autoCreateTopicEnable
	AutoCreateGroup       bool   // autoCreateSubscriptionGroup
	ClusterTopic          bool   // clusterTopicEnable: the topic named like the cluster can be used
	BrokerTopic           bool   // brokerTopicEnable: likewise the broker's
	TraceTopicName        string // msgTraceTopicName when traceTopicEnable, else ""
	TimerTopic            bool   // timerWheelEnable
	DefaultTopicQueueNums int    // defaultTopicQueueNums, of TBW102
	DelayLevels           int    // how many; the schedule topic has at least as many queues

	// FlushOffsets is how long a changed offset may stay in memory; 5 s
	// (flushConsumerOffsetInterval).
	FlushOffsets time.Duration
	// OnTopicsChanged is called after topics have changed, on the goroutine that
	// changed them and without a lock. It must not block.
	OnTopicsChanged func()
}

// Meta holds the four tables. Their methods may be called from any goroutine.
type Meta struct {
	Topics  *Topics
	Groups  *Groups
	Offsets *Offsets
	Modes   *Modes
}

// retryAfter is the pause before a failed write is repeated.
const retryAfter = 5 * time.Second

// Open loads the tables, or makes new ones, with the topics and groups that a
// broker has of its own. A file that exists but cannot be read is an error.
func Open(o Options) (*Meta, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FlushOffsets <= 0 {
		o.FlushOffsets = 5 * time.Second
	}
	if o.OnTopicsChanged == nil {
		o.OnTopicsChanged = func() {}
	}
	dir := filepath.Join(o.Dir, "config")
	if err := vfs.MkdirAllSync(o.FS, dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory %s: %w", dir, err)
	}
	m := &Meta{Topics: newTopics(o), Groups: newGroups(o), Offsets: newOffsets(o), Modes: newModes()}
	err := errors.Join(
		m.Topics.open(newFile(o, filepath.Join(dir, "topics.json"), 0, m.Topics.encode)),
		m.Groups.open(newFile(o, filepath.Join(dir, "subscriptionGroup.json"), 0, m.Groups.encode)),
		m.Offsets.open(newFile(o, filepath.Join(dir, "consumerOffset.json"), o.FlushOffsets, m.Offsets.encode)),
		m.Modes.open(newFile(o, filepath.Join(dir, "messageRequestMode.json"), 0, m.Modes.encode)),
	)
	if err != nil {
		return nil, err
	}
	m.Topics.addSystemTopics()
	m.Groups.addSystemGroups()
	for _, f := range m.files() {
		f.start()
	}
	return m, nil
}

func (m *Meta) files() []*file {
	return []*file{m.Topics.file, m.Groups.file, m.Offsets.file, m.Modes.file}
}

// WaitSaved waits until every change of topics, groups, offsets and modes made before
// the call is durable. It returns the error of a write that failed.
func (m *Meta) WaitSaved(ctx context.Context) error {
	var errs []error
	for _, f := range m.files() {
		errs = append(errs, f.waitSaved(ctx))
	}
	return errors.Join(errs...)
}

// Close writes what has changed and ends the goroutines. Nothing may be changed
// afterwards.
func (m *Meta) Close() error {
	var errs []error
	for _, f := range m.files() {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}
