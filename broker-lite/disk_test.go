package brokerlite

import (
	"sync"
	"syscall"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// withFiles starts the server on a file system of the test's.
func withFiles(fs vfs.FS) Option { return func(s *settings) { s.inMemory, s.files = false, fs } }

// stallingDisk is a disk in memory whose commit log writes or syncs can be held up,
// or fail for want of space.
type stallingDisk struct {
	fs vfs.FS

	mu     sync.Mutex // guards the following
	moving *sync.Cond
	writes bool // held up
	syncs  bool // held up
	full   bool
	broken bool // syncs fail
}

func newStallingDisk() *stallingDisk {
	d := &stallingDisk{}
	d.moving = sync.NewCond(&d.mu)
	d.fs = vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{Before: d.before})
	return d
}

func (d *stallingDisk) before(c vfs.Call) vfs.Fault {
	if !vfs.MatchPath("commitlog/*", c.Path) {
		return vfs.Fault{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for (d.writes && c.Op == vfs.OpWrite) || (d.syncs && c.Op == vfs.OpSync) {
		d.moving.Wait()
	}
	if d.full && c.Op == vfs.OpWrite {
		return vfs.Fault{Err: syscall.ENOSPC}
	}
	if d.broken && c.Op == vfs.OpSync {
		return vfs.Fault{Err: syscall.EIO}
	}
	return vfs.Fault{}
}

func (d *stallingDisk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	d.moving.Broadcast()
}

func (d *stallingDisk) stall()       { d.set(func() { d.writes = true }) }
func (d *stallingDisk) stallSyncs()  { d.set(func() { d.syncs = true }) }
func (d *stallingDisk) resume()      { d.set(func() { d.writes, d.syncs = false, false }) }
func (d *stallingDisk) fill(on bool) { d.set(func() { d.full = on }) }
func (d *stallingDisk) breakDown()   { d.set(func() { d.broken = true }) }
