package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// stored is a record that a producer or a consumer was told of.
type stored struct {
	topic   string
	queueID int32
	offset  int64
	body    string
	props   string
}

// image is what a power cut leaves, with what the world outside knew by then.
type image struct {
	fs       *vfs.Mem
	after    vfs.Call
	n        int
	promised []stored // durable, by the rules of the flush mode
	readable []stored // seen by consumers
	deleted  string   // topic that is gone
	doomed   string   // topic that may be gone
	going    int64    // log before it may be gone
	gone     int64    // log before it is gone
}

// crashRun is one workload on a file system that takes an image after each call
// that changes something.
type crashRun struct {
	opt    Options
	mem    *vfs.Mem
	seed   uint64
	strict bool // a promise is made by each answer, as under SyncFlush
	full   bool // the disk is full at times
	expire bool // old log is deleted at times

	mu sync.Mutex
	// mu guards the following.
	rng       *rand.Rand
	answered  []stored
	promised  int // of answered
	readable  []stored
	submitted map[string]stored // by body
	places    map[string]int64  // physical offsets, by body
	going     int64
	gone      int64
	images    []image
	deleted   string
	doomed    string
}

// changing are the calls behind which a power cut makes a difference.
func changing(op vfs.Op) bool {
	switch op {
	case vfs.OpRead, vfs.OpReadDir, vfs.OpStat, vfs.OpSize, vfs.OpClose, vfs.OpSpace, vfs.OpLock:
		return false
	}
	return true
}

func newCrashRun(seed uint64, o Options) *crashRun {
	c := &crashRun{opt: o, seed: seed, mem: vfs.NewMem(), strict: o.SyncFlush, submitted: map[string]stored{}, places: map[string]int64{}}
	c.opt.Dir = testDir
	if seed%2 == 0 {
		c.mem.WriteBack(seed)
	}
	c.opt.FS = vfs.NewFaulty(c.mem, vfs.Hooks{Before: c.fault, After: c.take})
	c.rng = rand.New(rand.NewPCG(seed, 3))
	return c
}

// fault plays a full disk: some writes stop in the middle.
func (c *crashRun) fault(call vfs.Call) vfs.Fault {
	if !c.full || call.Op != vfs.OpWrite {
		return vfs.Fault{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rng.IntN(8) > 0 {
		return vfs.Fault{}
	}
	return vfs.Fault{Err: syscall.ENOSPC, Partial: c.rng.IntN(call.Len + 1)}
}

// take makes an image: what is known first, so that it is never more than what
// the image must hold.
func (c *crashRun) take(call vfs.Call, _ error) {
	if !changing(call.Op) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.images)
	im := image{after: call, n: n, deleted: c.deleted, doomed: c.doomed, going: c.going, gone: c.gone}
	im.promised = append(im.promised, c.answered[:c.promised]...)
	if c.strict {
		im.promised = append(im.promised[:0], c.answered...)
		im.readable = append(im.readable, c.readable...)
	}
	im.fs = c.mem.Crash(c.seed*1_000_003 + uint64(n))
	c.images = append(c.images, im)
}

// crashAnswer notes the answer of an append of several records.
type crashAnswer struct {
	c      *crashRun
	topic  string
	queue  int32
	bodies []string
	props  []string
	sizes  []int64
	wg     *sync.WaitGroup
}

func (a *crashAnswer) Appended(r AppendResult) {
	defer a.wg.Done()
	if r.Err != nil {
		return
	}
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	phys := r.PhysicalOffset
	for i, body := range a.bodies {
		a.c.places[body], phys = phys, phys+a.sizes[i]
		a.c.answered = append(a.c.answered, stored{a.topic, a.queue, r.QueueOffset + int64(i), body, a.props[i]})
	}
}

// workload appends in bursts to a few queues, flushes at times, deletes a topic,
// and closes or not.
func (c *crashRun) workload(tb testing.TB) {
	rng := rand.New(rand.NewPCG(c.seed, 7))
	s, err := Open(context.Background(), c.opt)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	serial := 0
	for round := range 8 {
		var wg sync.WaitGroup
		for range 1 + rng.IntN(5) {
			c.append(tb, s, rng, &serial, &wg)
		}
		wg.Wait()
		c.look(tb, s)
		if rng.IntN(3) == 0 {
			c.flush(tb, s)
		}
		if c.expire && round%2 == 1 {
			c.deleteOldest(tb, s)
		}
		if round == 5 {
			c.deleteTopic(tb, s, "topic1")
		}
	}
	if rng.IntN(2) == 0 {
		mustClose(tb, s)
	}
}

// deleteOldest deletes the first file of the log, if there are more.
func (c *crashRun) deleteOldest(tb testing.TB, s *Store) {
	firsts := s.log.segments()
	if len(firsts) < 2 {
		return
	}
	c.mu.Lock()
	c.going = firsts[1]
	c.mu.Unlock()
	done, err := s.DeleteExpired(context.Background(), Expiry{Force: true, MaxFiles: 1})
	if err != nil {
		if !c.full {
			tb.Fatal(err)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = done.MinPhysicalOffset
}

func (c *crashRun) deleteTopic(tb testing.TB, s *Store, topic string) {
	c.mu.Lock()
	c.doomed = topic
	c.mu.Unlock()
	if err := s.DeleteTopic(context.Background(), topic); err != nil {
		if !c.full {
			tb.Fatal(err)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleted = topic
}

func (c *crashRun) append(tb testing.TB, s *Store, rng *rand.Rand, serial *int, wg *sync.WaitGroup) {
	topic, queueID := fmt.Sprintf("topic%d", rng.IntN(2)), int32(rng.IntN(3))
	if topic == c.doomed {
		topic = "topic2"
	}
	a := &Append{Topic: topic, QueueID: queueID}
	answer := &crashAnswer{c: c, topic: topic, queue: queueID, wg: wg}
	for range 1 + rng.IntN(3) {
		body := fmt.Sprintf("body %d %s", *serial, strings.Repeat("x", rng.IntN(200)))
		*serial++
		props := protocol.AppendProperty(nil, protocol.PropTags, "t")
		props = protocol.AppendProperty(props, protocol.PropKeys, strings.Repeat("k", rng.IntN(600)))
		rec := recordWith(tb, topic, queueID, []byte(body), props)
		a.Records = append(a.Records, rec...)
		answer.sizes = append(answer.sizes, int64(len(rec)))
		a.TagsCodes = append(a.TagsCodes, tagsCodeOf("t"))
		answer.bodies, answer.props = append(answer.bodies, body), append(answer.props, string(props))
		c.mu.Lock()
		c.submitted[body] = stored{topic: topic, queueID: queueID, props: string(props)}
		c.mu.Unlock()
	}
	a.Done = answer
	wg.Add(1)
	s.Append(a)
}

// look notes what a consumer can see.
func (c *crashRun) look(tb testing.TB, s *Store) {
	var seen []stored
	for _, q := range s.Queues() {
		for _, r := range readAll(tb, s, q.Topic, q.ID) {
			seen = append(seen, stored{q.Topic, q.ID, r.QueueOffset, string(r.Body), string(r.Properties)})
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readable = seen
}

func (c *crashRun) flush(tb testing.TB, s *Store) {
	c.mu.Lock()
	n := len(c.answered)
	c.mu.Unlock()
	if err := s.Flush(context.Background()); err != nil {
		tb.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.promised = n
}

// check recovers an image and compares it with what was known. Every broken
// promise is an error.
func (c *crashRun) check(im image) error {
	err := c.checkOpen(im.fs, im)
	if err != nil {
		return fmt.Errorf("seed %d, power cut %d, after %s %s: %w", c.seed, im.n, im.after.Op, im.after.Path, err)
	}
	return nil
}

func (c *crashRun) checkOpen(mem *vfs.Mem, im image) (err error) {
	o := c.opt
	o.FS, o.SyncFlush = mem, true
	// Another power cut in the middle of recovery.
	var again atomic.Pointer[vfs.Mem]
	var calls atomic.Int64
	o.FS = vfs.NewFaulty(mem, vfs.Hooks{After: func(call vfs.Call, _ error) {
		if changing(call.Op) && calls.Add(1) == int64(im.n%17) {
			again.Store(mem.Crash(uint64(im.n)))
		}
	}})
	s, err := Open(context.Background(), o)
	if err != nil {
		return err
	}
	before, err := c.compare(s, im)
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if im.n%3 > 0 {
		return nil
	}
	if again := again.Load(); again != nil {
		if err := c.recoverAgain(again, im, before); err != nil {
			return fmt.Errorf("second power cut during recovery: %w", err)
		}
	}
	return c.goOn(mem, before)
}

// recoverAgain opens what a power cut during recovery has left.
func (c *crashRun) recoverAgain(mem *vfs.Mem, im image, before []stored) error {
	o := c.opt
	o.FS = mem
	s, err := Open(context.Background(), o)
	if err != nil {
		return err
	}
	got, err := c.compare(s, im)
	if err == nil && fmt.Sprint(got) != fmt.Sprint(before) {
		err = fmt.Errorf("%d records are there, %d were before", len(got), len(before))
	}
	return errors.Join(err, s.Close())
}

// goOn appends to the recovered store, kills it, and looks whether exactly that
// was added: nothing that was cut may come back.
func (c *crashRun) goOn(mem *vfs.Mem, before []stored) error {
	o := c.opt
	o.FS, o.SyncFlush = mem, true
	s, err := Open(context.Background(), o)
	if err != nil {
		return err
	}
	w := newWaiter()
	rec, err := protocol.AppendRecord(nil, &protocol.Record{Topic: "topic0", Body: []byte("last")})
	if err != nil {
		return err
	}
	s.Append(&Append{Topic: "topic0", Records: rec, TagsCodes: []int64{0}, Done: w})
	r := <-w.c
	killed := mem.Clone()
	if err := errors.Join(r.Err, s.Close()); err != nil {
		return err
	}
	for _, fs := range []*vfs.Mem{killed, killed.Crash(1), mem} {
		o.FS = fs
		s, err := Open(context.Background(), o)
		if err != nil {
			return err
		}
		after, err := listStored(s)
		if err = errors.Join(err, checkConsistent(s), s.Close()); err != nil {
			return err
		}
		if len(after) != len(before)+1 {
			return fmt.Errorf("%d records after one more append, %d before", len(after), len(before))
		}
	}
	return nil
}

// compare lists what a store has, and checks it against what was promised.
func (c *crashRun) compare(s *Store, im image) ([]stored, error) {
	if err := checkConsistent(s); err != nil {
		return nil, err
	}
	list, err := listStored(s)
	if err != nil {
		return nil, err
	}
	have := map[stored]bool{}
	seen := map[string]bool{}
	for _, r := range list {
		if r.topic == im.deleted {
			return nil, fmt.Errorf("record %+v of a deleted topic is back", r)
		}
		have[r] = true
		if at, ok := c.places[r.body]; ok && at < im.gone {
			return nil, fmt.Errorf("record %+v was deleted with its file and is back", r)
		}
		sub, ok := c.submitted[r.body]
		if !ok || sub.topic != r.topic || sub.queueID != r.queueID || sub.props != r.props {
			return nil, fmt.Errorf("record %+v was never appended so", r)
		}
		if seen[r.body] {
			return nil, fmt.Errorf("record %+v is there twice", r)
		}
		seen[r.body] = true
	}
	for _, r := range im.promised {
		if !have[r] && r.topic != im.doomed && c.places[r.body] >= im.going {
			return nil, fmt.Errorf("record %+v was promised and is lost", r)
		}
	}
	for _, r := range im.readable {
		if !have[r] && r.topic != im.doomed && c.places[r.body] >= im.going {
			return nil, fmt.Errorf("record %+v was readable and is lost", r)
		}
	}
	return list, nil
}

func crashOptions(sync bool) Options {
	return Options{
		SyncFlush: sync, SegmentSize: 4000, QueueFileEntries: 4, CheckpointBytes: 2500,
		CheckpointInterval: time.Hour, FlushInterval: time.Millisecond, MaxOpenFiles: 4,
	}
}

// crashSeeds is how many workloads the crash tests play.
var crashSeeds = flag.Uint64("crash-seeds", 3, "workloads that the power cut tests play, of each kind")

func TestPowerCutAfterEveryCallKeepsEveryPromise(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name               string
		sync, full, expire bool
	}{
		{name: "async"}, {name: "sync", sync: true}, {name: "async on a full disk", full: true}, {name: "sync on a full disk", sync: true, full: true},
		{name: "async with old log deleted", expire: true}, {name: "sync with old log deleted", sync: true, expire: true},
		{name: "sync on a full disk with old log deleted", sync: true, full: true, expire: true},
	} {
		for seed := range *crashSeeds {
			t.Run(fmt.Sprintf("%s/seed=%d", kind.name, seed), func(t *testing.T) {
				t.Parallel()
				c := newCrashRun(seed, crashOptions(kind.sync))
				c.full, c.expire = kind.full, kind.expire
				c.workload(t)
				for _, im := range c.images {
					if err := c.check(im); err != nil {
						t.Fatal(err)
					}
				}
				t.Logf("%d power cuts", len(c.images))
			})
		}
	}
}

// The harness must notice a store that answers before its sync: that is what a
// store without SyncFlush does.
func TestPowerCutTestNoticesAnAnswerBeforeTheSync(t *testing.T) {
	t.Parallel()
	mustNotice(t, "is lost", func(seed uint64) *crashRun {
		c := newCrashRun(seed, crashOptions(false))
		c.strict = true
		return c
	})
}

// And a disk that says it has synced a directory, and has not.
func TestPowerCutTestNoticesAMissingDirectorySync(t *testing.T) {
	t.Parallel()
	mustNotice(t, "", func(seed uint64) *crashRun {
		c := newCrashRun(seed, crashOptions(true))
		c.opt.FS = vfs.NewFaulty(lyingFS{c.mem}, vfs.Hooks{After: c.take})
		return c
	})
}

type lyingFS struct{ *vfs.Mem }

func (l lyingFS) SyncDir(name string) error {
	if filepath.Base(name) == commitLogName {
		return nil
	}
	return l.Mem.SyncDir(name)
}

func mustNotice(t *testing.T, text string, run func(seed uint64) *crashRun) {
	t.Helper()
	for seed := range uint64(12) {
		c := run(seed)
		c.workload(t)
		for _, im := range c.images {
			if err := c.check(im); err != nil && strings.Contains(err.Error(), text) {
				t.Logf("noticed: %v", err)
				return
			}
		}
	}
	t.Fatal("nothing was noticed")
}
