package store

import (
	"bytes"
	"path/filepath"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// deletionPrefix begins the body of a record that notes a deletion; the deleted
// topic's name is the rest. The notes of a repair begin otherwise.
const deletionPrefix = "deleted "

// deletionNote is a record that says: what is before it of a topic is deleted.
func deletionNote(topic string, stamp int64) ([]byte, error) {
	r := note(stamp, []byte(deletionPrefix+topic))
	return protocol.AppendRecord(nil, &r)
}

// deletedTopic returns the topic whose deletion a record notes.
func deletedTopic(rec *protocol.Record) (topic string, ok bool) {
	if rec.Topic != noteTopic {
		return "", false
	}
	name, ok := bytes.CutPrefix(rec.Body, []byte(deletionPrefix))
	return string(name), ok && checkTopic(string(name)) == nil
}

// deleteTopic runs as a control, and again when the log's last file was full.
func (p *appender) deleteTopic(topic string, note []byte, done chan error) error {
	gone := p.s.queues.of(topic)
	if len(gone) == 0 {
		done <- nil
		return nil
	}
	if err := p.ready(len(note)); err != nil || p.rolling {
		return err
	}
	if err := p.check(p.writeNote(note)); err != nil {
		return err
	}
	p.s.queues.remove(gone)
	for _, q := range gone {
		p.total -= q.next
		q.mu.Lock()
		q.deleted = true
		q.mu.Unlock()
	}
	p.durable = mark{phys: p.w.end, entries: p.total}
	p.s.indexer.note(p.durable)
	p.s.indexer.do(job{run: func() error { return p.s.indexer.removeTopic(topic, gone) }, done: done})
	return nil
}

// writeNote writes and syncs a record of the store's own. Nothing waits for a sync
// beside it, for it is part of a control.
func (p *appender) writeNote(note []byte) error {
	room, phys := p.w.reserve(len(note))
	copy(room, note)
	protocol.PlaceRecord(room, 0, phys, p.s.opt.Now().UnixMilli())
	if err := p.w.write(); err != nil {
		return err
	}
	if err := p.w.file.Sync(); err != nil {
		return &FailedError{File: p.w.path, Err: err}
	}
	p.s.log.visible.Store(p.w.end)
	return nil
}

// dispatchDeletion removes the queues of a topic whose deletion the log notes.
func (r *recovery) dispatchDeletion(topic string) error {
	gone := r.s.queues.of(topic)
	if len(gone) == 0 {
		return nil
	}
	r.s.queues.remove(gone)
	for _, q := range gone {
		delete(r.kept, q)
		if err := r.removeQueue(q); err != nil {
			return err
		}
	}
	fsys, dir := r.s.opt.FS, r.s.queues.dir
	if err := vfs.RemoveTree(fsys, filepath.Join(dir, topic)); err != nil {
		return err
	}
	// The next checkpoint does not count them, and must not find them back.
	if err := fsys.SyncDir(dir); err != nil {
		return &FailedError{File: dir, Err: err}
	}
	return nil
}
