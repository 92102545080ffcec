package store

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Options say where a store is and how it works. FS and Dir are required; a
// zero elsewhere takes the default.
type Options struct {
	FS  vfs.FS
	Dir string // made when it is missing; one store a directory
	// CommitLogDir is where the commit log is, made when it is missing; default
	// commitlog under Dir (storePathCommitLog). It must not change while there is
	// a log: the new place has none of its records.
	CommitLogDir string

	// SegmentSize is the size of a commit log file in bytes; default 64 MiB.
	// Apache's is 1 GiB (mappedFileSizeCommitLog). No append can be larger.
	SegmentSize int64
	// QueueFileEntries is the size of a consume queue file in entries; default
	// 300,000 as Apache's mappedFileSizeConsumeQueue, which counts 20 bytes for each.
	QueueFileEntries int

	// SyncFlush answers an append, and shows it to readers, only after it is
	// durable (Apache's flushDiskType=SYNC_FLUSH). Otherwise the log is synced
	// FlushInterval after a write.
	SyncFlush bool
	// FlushInterval is the longest time that data stays unsynced without
	// SyncFlush; default 500 ms (flushIntervalCommitLog).
	FlushInterval time.Duration
	// SyncFlushTimeout is how long an append waits for its sync before it is
	// answered FlushDiskTimeout; default 5 s (syncFlushTimeout).
	SyncFlushTimeout time.Duration

	// CheckpointBytes and CheckpointInterval bound what recovery has to read
	// again: a checkpoint is made when so much was appended since the last, or
	// so long after the first append since; defaults 64 MiB and 30 s.
	CheckpointBytes    int64
	CheckpointInterval time.Duration

	// TailBytes is how much of the log's end is kept in memory for readers;
	// default 4 MiB, allocated as it fills.
	TailBytes int
	// MaxPendingBytes bounds what waits to be written or synced; default
	// 64 MiB. Beyond it appends are refused with ErrOverloaded.
	MaxPendingBytes int64
	// MaxOpenFiles bounds the files that are open for reading the log and for
	// the consume queues; default 256.
	MaxOpenFiles int

	// Now stamps records with their store time; default time.Now.
	Now func() time.Time
	// Logger tells of recovery and of failures; default discards.
	Logger *slog.Logger

	// OnArrive is called for each record after its consume queue entry can be
	// read, in the order of the log, before the append is answered; maxOffset
	// is the offset behind it. It runs on the appender goroutine and must not
	// block; it may call Store.Append. Recovery does not call it.
	OnArrive func(topic string, queueID int32, maxOffset int64, tagsCode int64)
	// OnDelete is called after commit log files were deleted: the log has nothing
	// before minPhysicalOffset any more. It runs on the indexer goroutine and must
	// not wait for the store.
	OnDelete func(minPhysicalOffset int64)
	// TagsCode computes the tags code of a record when a consume queue is
	// rebuilt; it must give what the append gave. Default TagsCode. It must
	// not keep the record.
	TagsCode func(*protocol.Record) int64
}

const (
	defaultSegmentSize        = 64 << 20
	defaultQueueFileEntries   = 300_000
	defaultFlushInterval      = 500 * time.Millisecond
	defaultSyncFlushTimeout   = 5 * time.Second
	defaultCheckpointBytes    = 64 << 20
	defaultCheckpointInterval = 30 * time.Second
	defaultTailBytes          = 4 << 20
	defaultMaxPendingBytes    = 64 << 20
	defaultMaxOpenFiles       = 256

	minSegmentSize = 256
	minTailBytes   = 64 << 10
)

// TagsCode is the tags code of an ordinary record: String.hashCode of its TAGS
// property, 0 without one (MessageExtBrokerInner.tagsString2tagsCode).
func TagsCode(r *protocol.Record) int64 {
	tags, _ := protocol.Property(r.Properties, protocol.PropTags)
	return int64(protocol.HashCode(tags))
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (o *Options) setDefaults() {
	orDefault(&o.CommitLogDir, filepath.Join(o.Dir, commitLogName))
	o.CommitLogDir = filepath.Clean(o.CommitLogDir)
	orDefault(&o.SegmentSize, defaultSegmentSize)
	orDefault(&o.QueueFileEntries, defaultQueueFileEntries)
	orDefault(&o.FlushInterval, defaultFlushInterval)
	orDefault(&o.SyncFlushTimeout, defaultSyncFlushTimeout)
	orDefault(&o.CheckpointBytes, defaultCheckpointBytes)
	orDefault(&o.CheckpointInterval, defaultCheckpointInterval)
	orDefault(&o.TailBytes, defaultTailBytes)
	orDefault(&o.MaxPendingBytes, defaultMaxPendingBytes)
	orDefault(&o.MaxOpenFiles, defaultMaxOpenFiles)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnArrive == nil {
		o.OnArrive = func(string, int32, int64, int64) {}
	}
	if o.OnDelete == nil {
		o.OnDelete = func(int64) {}
	}
	if o.TagsCode == nil {
		o.TagsCode = TagsCode
	}
}

func (o *Options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.FS != nil, "store: FS is not set")
	check(o.Dir != "", "store: Dir is not set")
	check(o.SegmentSize >= minSegmentSize && o.SegmentSize <= 1<<31-1,
		"store: SegmentSize is %d, want %d to 2 GiB - 1", o.SegmentSize, minSegmentSize)
	check(o.QueueFileEntries > 0, "store: QueueFileEntries is %d, want at least 1", o.QueueFileEntries)
	check(o.FlushInterval > 0, "store: FlushInterval is %v, want more than 0", o.FlushInterval)
	check(o.SyncFlushTimeout > 0, "store: SyncFlushTimeout is %v, want more than 0", o.SyncFlushTimeout)
	check(o.CheckpointBytes > 0, "store: CheckpointBytes is %d, want more than 0", o.CheckpointBytes)
	check(o.CheckpointInterval > 0, "store: CheckpointInterval is %v, want more than 0", o.CheckpointInterval)
	check(o.TailBytes >= minTailBytes, "store: TailBytes is %d, want at least %d", o.TailBytes, minTailBytes)
	check(o.MaxPendingBytes > 0, "store: MaxPendingBytes is %d, want more than 0", o.MaxPendingBytes)
	check(o.MaxOpenFiles > 1, "store: MaxOpenFiles is %d, want at least 2", o.MaxOpenFiles)
	return errors.Join(errs...)
}
