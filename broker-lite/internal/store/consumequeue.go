package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
)

// entrySize is the size of a consume queue entry: Apache's 20 bytes
// (CQ_STORE_UNIT_SIZE) and two checksums.
const entrySize = 28

// castagnoli makes CRC-32C, for which processors have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Entry is a consume queue entry: where a record is, what its bytes add up to, and
// what a consumer's filter is tested against.
type Entry struct {
	QueueOffset    int64
	PhysicalOffset int64
	Size           int32
	TagsCode       int64
	Checksum       uint32 // CRC-32C of the whole stored record
}

func appendEntry(b []byte, phys int64, size int32, tagsCode int64, sum uint32) []byte {
	be := binary.BigEndian
	at := len(b)
	b = be.AppendUint64(b, uint64(phys))
	b = be.AppendUint32(b, uint32(size))
	b = be.AppendUint64(b, uint64(tagsCode))
	b = be.AppendUint32(b, sum)
	return be.AppendUint32(b, checksum(b[at:]))
}

// isEntry reports whether an entry is as it was written.
func isEntry(b []byte) bool {
	return checksum(b[:entrySize-4]) == binary.BigEndian.Uint32(b[entrySize-4:])
}

func decodeEntry(b []byte, queueOffset int64) Entry {
	be := binary.BigEndian
	return Entry{
		QueueOffset:    queueOffset,
		PhysicalOffset: int64(be.Uint64(b)),
		Size:           int32(be.Uint32(b[8:])),
		TagsCode:       int64(be.Uint64(b[12:])),
		Checksum:       be.Uint32(b[20:]),
	}
}

// writeOutEntries is how many entries of a queue gather in memory before they
// are worth a write, unless a file holds fewer; a checkpoint writes less.
const writeOutEntries = 204

// queue is a consume queue. The appender adds entries at its end, in memory;
// the indexer moves them to files; readers see both as one.
type queue struct {
	topic    string
	id       int32
	dir      string
	writeOut int // bytes of tail that are worth a write

	// next is the offset of the next record: published or not. Owned by the
	// appender.
	next int64

	mu sync.Mutex
	// mu guards the following.
	min, max int64   // offsets of the first entry, and behind the last
	written  int64   // entries before it are in files, the others in tail
	tail     []byte  // from written to max
	files    []int64 // first offset of each file, ascending
	dirty    bool    // on the indexer's list for the next checkpoint
	full     bool    // on the indexer's list to be written out
	deleted  bool

	// stray are files that recovery must remove, by their names' offsets.
	stray []int64

	// unsynced and newDir belong to the indexer: files written since they were
	// synced, and whether the directory's entry is yet to be synced.
	unsynced []int64
	newDir   bool
}

func (q *queue) key(first int64) fileKey { return fileKey{dir: q.dir, first: first * entrySize} }

func (q *queue) path(first int64) string { return q.key(first).path() }

// publish adds entries, and says whether the indexer must hear of it.
func (q *queue) publish(entries []byte) (dirty, full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tail = append(q.tail, entries...)
	q.max += int64(len(entries) / entrySize)
	dirty, q.dirty = !q.dirty, true
	if len(q.tail) >= q.writeOut {
		full, q.full = !q.full, true
	}
	return dirty, full
}

func (q *queue) bounds() (minOffset, maxOffset int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.min, q.max
}

// unwritten returns the bytes that are not in files yet. Only the indexer calls
// it; the bytes stay as they are until it calls wrote.
func (q *queue) unwritten() (from int64, data []byte, lastFile int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lastFile = -1
	if n := len(q.files); n > 0 {
		lastFile = q.files[n-1]
	}
	return q.written, q.tail, lastFile
}

// wrote moves the border between files and memory.
func (q *queue) wrote(n int, file int64, isNew bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.written += int64(n / entrySize)
	if n == len(q.tail) && len(q.tail) < q.writeOut {
		q.tail = nil // an idle queue holds no buffer
	} else {
		q.tail = q.tail[:copy(q.tail, q.tail[n:])]
	}
	if isNew {
		q.files = append(q.files, file)
	}
}

func (q *queue) isDeleted() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.deleted
}

// shrink gives an empty buffer back.
func (q *queue) shrink() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.tail) == 0 {
		q.tail = nil
	}
}

// copyTail copies entries from offset on into b when they are in memory, and
// says otherwise in which file they are, and how many that file has for b.
func (q *queue) copyTail(b []byte, offset int64) (n int, file int64, inFile bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if offset < q.min || offset >= q.max || q.deleted {
		return 0, 0, false
	}
	if offset >= q.written {
		return copy(b, q.tail[(offset-q.written)*entrySize:]), 0, false
	}
	i := sort.Search(len(q.files), func(i int) bool { return q.files[i] > offset })
	end := q.written
	if i < len(q.files) {
		end = q.files[i]
	}
	return int(min(int64(len(b)), (end-offset)*entrySize)), q.files[i-1], true
}

// queueKey names a queue.
type queueKey struct {
	topic string
	id    int32
}

// queueTable holds all consume queues.
type queueTable struct {
	dir         string
	files       *fileCache
	fileEntries int64

	mu sync.RWMutex
	// mu guards the following. The appender adds and removes.
	queues map[queueKey]*queue
}

func (t *queueTable) get(topic string, id int32) *queue {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.queues[queueKey{topic, id}]
}

func (t *queueTable) newQueue(topic string, id int32) *queue {
	return &queue{topic: topic, id: id, dir: filepath.Join(t.dir, topic, strconv.Itoa(int(id))),
		writeOut: int(min(writeOutEntries, t.fileEntries)) * entrySize}
}

// getOrAdd returns the queue, made when it is new.
func (t *queueTable) getOrAdd(topic string, id int32) *queue {
	if q := t.get(topic, id); q != nil {
		return q
	}
	q := t.newQueue(topic, id)
	q.newDir = true
	t.add(q)
	return q
}

func (t *queueTable) add(q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queues[queueKey{q.topic, q.id}] = q
}

// of returns a topic's queues.
func (t *queueTable) of(topic string) (list []*queue) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for k, q := range t.queues {
		if k.topic == topic {
			list = append(list, q)
		}
	}
	return list
}

// remove takes queues out.
func (t *queueTable) remove(list []*queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, q := range list {
		delete(t.queues, queueKey{q.topic, q.id})
	}
}

func (t *queueTable) all() []*queue {
	t.mu.RLock()
	defer t.mu.RUnlock()
	list := make([]*queue, 0, len(t.queues))
	for _, q := range t.queues {
		list = append(list, q)
	}
	return list
}

// read copies entries from offset on into b, whole ones; 0 bytes when there are
// none. It may return fewer than fit. What comes from a file is verified.
func (t *queueTable) read(q *queue, b []byte, offset int64) (int, error) {
	n, first, inFile, err := t.readRaw(q, b, offset)
	for at := 0; inFile && at < n; at += entrySize {
		if isEntry(b[at:]) {
			continue
		}
		if at > 0 {
			return at, nil
		}
		return 0, &QueueCorruptionError{File: q.path(first), Topic: q.topic, QueueID: q.id, QueueOffset: offset, Dir: filepath.Dir(t.dir)}
	}
	return n, err
}

// readRaw is read without verification; first is the file where they are.
func (t *queueTable) readRaw(q *queue, b []byte, offset int64) (n int, first int64, inFile bool, err error) {
	b = b[:len(b)/entrySize*entrySize]
	n, first, inFile = q.copyTail(b, offset)
	if !inFile {
		return n, first, inFile, nil
	}
	f, err := t.files.acquire(q.key(first))
	if err != nil {
		return 0, first, inFile, fmt.Errorf("read consume queue of %s queue %d: %w", q.topic, q.id, err)
	}
	defer t.files.release(f)
	if got, err := f.ReadAt(b[:n], (offset-first)*entrySize); got < n {
		return 0, first, inFile, fmt.Errorf("read consume queue file %s: %w", q.path(first), err)
	}
	return n, first, inFile, nil
}

// writeOut moves a queue's entries from memory to its files. Called by one
// goroutine at a time: recovery, then the indexer.
func (t *queueTable) writeOut(q *queue) error {
	for {
		from, data, first := q.unwritten()
		if len(data) == 0 {
			return nil
		}
		isNew := first < 0 || from >= first+t.fileEntries
		if isNew {
			first = from
		}
		data = data[:min(int64(len(data)), (first+t.fileEntries-from)*entrySize)]
		if err := t.writeFile(q, first, isNew, data, from); err != nil {
			return err
		}
		if len(q.unsynced) == 0 || q.unsynced[len(q.unsynced)-1] != first {
			q.unsynced = append(q.unsynced, first)
		}
		q.wrote(len(data), first, isNew)
	}
}

func (t *queueTable) writeFile(q *queue, first int64, isNew bool, data []byte, from int64) error {
	var f *cachedFile
	var err error
	if isNew {
		if err = t.files.fs.MkdirAll(q.dir, 0o755); err == nil {
			f, err = t.files.create(q.key(first))
		}
	} else {
		f, err = t.files.acquire(q.key(first))
	}
	if err != nil {
		return &WriteError{File: q.path(first), Err: err}
	}
	defer t.files.release(f)
	at := (from - first) * entrySize
	if _, err := f.WriteAt(data, at); err != nil {
		return &WriteError{File: q.path(first), Offset: at, Err: err}
	}
	return nil
}
