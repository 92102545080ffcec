package pop

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// maxTotal bounds the invisible messages of all queues: some 50 MB.
const maxTotal = 1 << 19

// retryAfter is the pause after something that failed.
const retryAfter = time.Second

// Options configure a Service. All but Logger are required.
type Options struct {
	Store   *store.Store
	Offsets *meta.Offsets
	Clock   clock.Clock
	FS      vfs.FS
	Dir     string // made when it is missing
	Journal string // the topic of the journal
	// RetryTopic returns the retry topic of a topic and group, and makes it when
	// there is none.
	RetryTopic func(topic, group string) string
	// TagsCode computes the tags code that a revived record's consume queue entry
	// gets.
	TagsCode  func(*protocol.Record) int64
	StoreHost netip.AddrPort
	// MaxPerQueue bounds the invisible messages of a queue and group
	// (popInflightMessageThreshold).
	MaxPerQueue int
	// Wake is called when a queue may have something to pop again, other than by a
	// message that arrives. It is called without a lock and must not block.
	Wake   func(Key)
	Logger *slog.Logger // nil discards
}

// Service owns the tables. Open makes one; its methods may be called from several
// goroutines.
type Service struct {
	o     Options
	alarm clock.Alarm  // revives
	saver *alarm.Alarm // commits offsets, writes the state
	group *redeliver.Group
	stop  atomic.Bool // Close has begun

	mu sync.Mutex // guards the following
	tables
	journal journal
	wakes   []Key    // to be called when mu is free
	news    []func() // the same, for the log
	revives map[meta.Consumption]int64
	armed   int64 // the alarm is set to this, ms since 1970; 0: it is not
	dirty   map[*queue]struct{}
	changed bool          // since the state was written
	saveAt  time.Time     // when the state is to be written
	saveGap time.Duration // how long a change may stay unwritten
}

// Open reads what is invisible and begins to revive.
func Open(o Options) (*Service, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		o: o, group: redeliver.NewGroup(o.Store), dirty: map[*queue]struct{}{}, revives: map[meta.Consumption]int64{}, saveGap: saveEvery,
		tables: tables{queues: map[Key]*queue{}},
	}
	s.journal.idle = sync.NewCond(&s.mu)
	if err := vfs.MkdirAllSync(o.FS, o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open POP's state: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open POP's state: %w", err)
	}
	s.saver = alarm.Start(0, s.save)
	s.alarm = o.Clock.Alarm(s.ring)
	s.mu.Lock()
	if s.changed {
		s.saver.Set(time.Now().Add(settleDelay))
	}
	s.free()
	return s, nil
}

func (s *Service) statePath() string { return filepath.Join(s.o.Dir, "state") }

// free gives mu back, and does what had to wait for it.
func (s *Service) free() {
	wakes, news := s.wakes, s.news
	s.wakes, s.news = nil, nil
	next := int64(0)
	if len(s.due) > 0 && (s.armed == 0 || s.due[0].until < s.armed) {
		next = s.due[0].until
		s.armed = next
	}
	s.mu.Unlock()
	if next != 0 {
		s.alarm.Set(time.UnixMilli(next))
	}
	for _, key := range wakes {
		s.o.Wake(key)
	}
	for _, tell := range news {
		tell()
	}
}

// wake tells of a queue when mu is free. mu is held.
func (s *Service) wake(q *queue) {
	q.missed = false
	s.wakes = append(s.wakes, q.key)
}

// Invisible is how many messages are.
func (s *Service) Invisible() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// find returns a queue with the offset to go on from, and makes it with the offset
// init when its group has none. A consumer offset that somebody has moved or
// deleted counts. mu is held.
func (s *Service) find(key Key, init int64) *queue {
	if reset, ok := s.o.Offsets.TakeReset(key.Group, key.Topic, key.Queue); ok {
		s.o.Offsets.Commit(key.Group, key.Topic, key.Queue, reset)
	}
	offset, ok := s.o.Offsets.Query(key.Group, key.Topic, key.Queue)
	q := s.queues[key]
	switch {
	case q != nil && ok && offset == q.committed:
		return q
	case !ok:
		offset = init
		s.o.Offsets.Commit(key.Group, key.Topic, key.Queue, init)
	}
	if q != nil {
		from := q.committed
		s.news = append(s.news, func() {
			s.o.Logger.Info("a queue's consumer offset was moved; what is invisible behind it is forgotten",
				"group", key.Group, "topic", key.Topic, "queue", key.Queue, "from", from, "to", offset, "deleted", !ok)
		})
		next := offset
		if !ok {
			next = 0 // forget all of it
		}
		s.enter(&entry{kind: kindMove, key: key, next: next}, nil)
		q.next = offset
		delete(s.dirty, q)
	} else {
		q = s.get(key)
		q.next = offset
	}
	q.committed, q.settled = offset, offset
	return q
}

// Next is the offset that a pop of a queue would begin at; init when its group has
// none.
func (s *Service) Next(key Key, init int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	offset, ok := s.o.Offsets.Query(key.Group, key.Topic, key.Queue)
	q := s.queues[key]
	switch {
	case !ok:
		return init
	case q != nil && offset == q.committed:
		return q.next
	}
	return offset
}

// Forget forgets what is invisible for groups, or of topics, that are gone, whenever it
// would come again, and what was counted of them. Their consumer offsets must be gone,
// too.
func (s *Service) Forget(which func(meta.Consumption) bool) {
	s.mu.Lock()
	maps.DeleteFunc(s.revives, func(c meta.Consumption, _ int64) bool { return which(c) })
	for key, q := range s.queues {
		if !which(meta.Consumption{Topic: key.Topic, Group: key.Group}) {
			continue
		}
		s.enter(&entry{kind: kindMove, key: key}, nil)
		delete(s.dirty, q)
		if !q.busy {
			delete(s.queues, key)
		}
	}
	s.free()
	s.write()
}

// Known reports whether a group has an offset for a queue.
func (s *Service) Known(key Key) bool {
	_, ok := s.o.Offsets.Query(key.Group, key.Topic, key.Queue)
	return ok
}

// Blocked reports whether an orderly pop of a queue has to wait.
func (s *Service) Blocked(key Key, attempt string) bool {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[key]
	return q != nil && q.order.blocks(attempt, now)
}

func (s *Service) now() int64 { return s.o.Clock.Now().UnixMilli() }

// Close stops reviving and writes the state. The store must still be open, and no
// pop or acknowledgement be on its way.
func (s *Service) Close() error {
	s.stop.Store(true)
	s.alarm.Stop()
	s.saver.Stop()
	s.write()
	s.mu.Lock()
	for s.journal.inFlight {
		s.journal.idle.Wait()
	}
	s.mu.Unlock()
	return s.checkpoint()
}
