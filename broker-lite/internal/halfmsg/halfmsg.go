package halfmsg

import (
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// group is whose consumer offsets say how far the service has come (MixAll.
// CID_SYS_RMQ_TRANS).
const group = "CID_RMQ_SYS_TRANS"

// Options configure a Service. All but Logger are required.
type Options struct {
	Store *store.Store
	Meta  *meta.Meta
	Clock clock.Clock

	Timeout  time.Duration // transactionTimeOut: age before the first check
	Interval time.Duration // transactionCheckInterval
	MaxCheck int           // transactionCheckMax
	// TagsCode computes the tags code of a record that is appended again.
	TagsCode func(*protocol.Record) int64
	// Divert changes a committed message that is delayed into one that waits, and
	// returns its tags code. The error says why it cannot be stored.
	Divert func(*protocol.Record) (tagsCode int64, err error)
	// Check asks a member of a producer group for a half message's outcome; record
	// is that message as its consumers would get it. It must not block for long.
	Check func(producerGroup string, h *protocol.CheckTransactionRequest, record []byte)
	// StoreHost is the broker's address, in records and message ids.
	StoreHost  netip.AddrPort
	BrokerName string
	Logger     *slog.Logger // nil discards
}

// Service owns the half messages. Open makes one. Its methods may be called from
// several goroutines.
type Service struct {
	o     Options
	began time.Time // of the grid of checks
	alarm clock.Alarm
	ops   opWriter

	mu    sync.Mutex // guards the following
	open  map[int64]*half
	moved map[int64]*half // by the offsets that open ones had before
	next  int64           // half queue: behind the last known
	opEnd int64           // op queue: behind the last known
	ended int             // since the offsets were noted
}

// half is an open half message. The service's mu guards it.
type half struct {
	offset int64   // in the half queue, now
	before []int64 // where it was before it was checked
	opFrom int64   // its end would be in the op queue from here on
	due    int64   // from when on it may be checked, ms since 1970
	ending bool    // a commit or rollback is on its way
}

// Immunity is how long a half message is not checked. v is its
// CHECK_IMMUNITY_TIME_IN_SECONDS; nil, or what is no number, means the broker's
// time.
func (s *Service) Immunity(v []byte) time.Duration {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n == -1 {
		return s.o.Timeout
	}
	return time.Duration(min(max(n, 0), math.MaxInt64/int64(time.Second)/4)) * time.Second
}

// Prepared enters a half message that was stored. It is called by the append's
// completion and does not block.
func (s *Service) Prepared(queueOffset, storeTimestamp int64, immunity time.Duration) {
	due := storeTimestamp + immunity.Milliseconds()
	s.mu.Lock()
	s.enter(queueOffset, due)
	s.mu.Unlock()
	s.alarm.Set(s.tick(due))
}

// enter adds an open half message. mu is held.
func (s *Service) enter(queueOffset, due int64) *half {
	h := &half{offset: queueOffset, opFrom: s.opEnd, due: due}
	s.open[queueOffset] = h
	s.next = max(s.next, queueOffset+1)
	return h
}

// tick is the first moment of the grid behind ms.
func (s *Service) tick(ms int64) time.Time {
	after := max(time.UnixMilli(ms).Sub(s.began), 0)
	return s.began.Add((after/s.o.Interval + 1) * s.o.Interval)
}

// find returns the open half message that a request means. mu is held.
func (s *Service) find(queueOffset int64) *half {
	if h := s.open[queueOffset]; h != nil {
		return h
	}
	return s.moved[queueOffset]
}

// forget takes a half message out that has ended. mu is held.
func (s *Service) forget(h *half) {
	delete(s.open, h.offset)
	for _, offset := range h.before {
		delete(s.moved, offset)
	}
	if s.ended++; s.ended >= noteEvery {
		s.note()
	}
}

// noteEvery is after how many ends the offsets are noted, besides every check.
const noteEvery = 1000

// note commits how far the service has come: what Open reads again. mu is held.
func (s *Service) note() {
	s.ended = 0
	halfFrom, opFrom := s.next, s.opEnd
	for _, h := range s.open {
		halfFrom, opFrom = min(halfFrom, h.offset), min(opFrom, h.opFrom)
	}
	s.o.Meta.Offsets.Commit(group, meta.HalfTopic, 0, halfFrom)
	s.o.Meta.Offsets.Commit(group, meta.OpHalfTopic, 0, opFrom)
}

// Count returns how many half messages are open.
func (s *Service) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Close stops the checks and notes how far the service has come. The store must
// still be open, and no End be on its way.
func (s *Service) Close() {
	s.alarm.Stop()
	s.ops.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note()
}
