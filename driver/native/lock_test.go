package native

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// locks are a scripted broker's queue locks. Another member may have one.
type locks struct {
	mu    sync.Mutex // guards the following
	owner map[protocol.MessageQueue]string
}

const otherMember = "another member"

func (b *scripted) locks() *locks {
	l := &locks{owner: make(map[protocol.MessageQueue]string)}
	b.on(protocol.LockBatchMQ, func(conn *remoting.Conn, cmd *protocol.Command) bool {
		var req protocol.LockBatchRequest
		if err := protocol.DecodeBody(cmd.Body, &req); err != nil {
			b.c.t.Error(err)
		}
		answer := protocol.LockBatchResponse{Locked: []protocol.MessageQueue{}}
		l.mu.Lock()
		for _, q := range req.Queues {
			if o := l.owner[q]; o == "" || o == req.ClientID {
				l.owner[q] = req.ClientID
				answer.Locked = append(answer.Locked, q)
			}
		}
		l.mu.Unlock()
		body, err := protocol.EncodeBody(&answer)
		if err != nil {
			b.c.t.Error(err)
		}
		b.reply(conn, cmd, protocol.Success, nil, body)
		return true
	})
	b.on(protocol.UnlockBatchMQ, func(conn *remoting.Conn, cmd *protocol.Command) bool {
		var req protocol.LockBatchRequest
		if err := protocol.DecodeBody(cmd.Body, &req); err != nil {
			b.c.t.Error(err)
		}
		l.mu.Lock()
		for _, q := range req.Queues {
			if l.owner[q] == req.ClientID {
				delete(l.owner, q)
			}
		}
		l.mu.Unlock()
		b.reply(conn, cmd, protocol.Success, nil, nil)
		return true
	})
	return l
}

func (l *locks) give(q message.Queue, owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if owner == "" {
		delete(l.owner, wireQueue(q))
		return
	}
	l.owner[wireQueue(q)] = owner
}

func (l *locks) of(q message.Queue) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owner[wireQueue(q)]
}

// orderedCluster has one topic of n queues and locks.
func orderedCluster(t testing.TB, n int32) (*cluster, *scripted, *locks) {
	c := newCluster(t, "a")
	c.addTopic("orders", n)
	b := c.brokers["a"]
	return c, b, b.locks()
}

// A lock that another member got, or that nobody confirms any more, ends the work.
func TestFault14ALostLockIsNoticed(t *testing.T) {
	tests := []struct {
		name string
		lose func(*scripted, *locks)
		give func(*scripted, *locks)
		in   time.Duration
	}{
		{"another member has it", func(_ *scripted, l *locks) { l.give(orders0, otherMember) }, func(_ *scripted, l *locks) { l.give(orders0, "") }, 21 * time.Second},
		{"the broker does not answer", func(b *scripted, _ *locks) { b.ignore(protocol.LockBatchMQ) }, func(b *scripted, _ *locks) { b.locks() }, 31 * time.Second},
		{"the broker refuses", func(b *scripted, _ *locks) { b.refuse(protocol.LockBatchMQ, protocol.SystemError) }, func(b *scripted, _ *locks) { b.locks() }, 31 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c, b, l := orderedCluster(t, 1)
				b.produce(orders0, 3)
				sink := &collector{handle: func(d delivery) {
					if string(d.Body) == "0" {
						d.ack()
					}
				}}
				subscribe(t, c.open(), sink, orderedConfig(), "orders")
				pass(6 * time.Second)
				first := sink.all()[1]
				tt.lose(b, l)
				pass(tt.in)
				if first.ctx.Err() == nil {
					t.Fatalf("the handler's ctx goes on without a lock\n%s", c.logs)
				}
				b.setOffset("group", orders0, 2) // the other member's progress
				first.ack()
				pass(10 * time.Second)
				if n := b.committed("group", orders0); n != 2 {
					t.Errorf("committed %d without a lock", n)
				}
				if got, want := sink.story(), "0/0 1/0"; got != want {
					t.Errorf("without the lock: %s, want %s", got, want)
				}
				tt.give(b, l)
				pass(5 * time.Second)
				if got, want := sink.story(), "0/0 1/0 2/0"; got != want {
					t.Errorf("with the lock again: %s, want %s", got, want)
				}
				for _, d := range sink.all() {
					d.ack() // Stop waits for it
				}
			})
		})
	}
}

func TestNothingIsDeliveredAgainBesideAHandlerThatIsStillAtWork(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, l := orderedCluster(t, 1)
		b.produce(orders0, 2)
		sink := new(collector)
		subscribe(t, c.open(), sink, orderedConfig(), "orders")
		pass(time.Second)
		first := sink.all()[0]
		l.give(orders0, otherMember)
		pass(20 * time.Second)
		l.give(orders0, "")
		pass(time.Minute)
		if n := len(sink.all()); n != 1 {
			t.Errorf("%d delivered while the handler has not returned", n)
		}
		first.settle(driver.Verdict{})
		pass(2 * time.Second)
		if got, want := sink.story(), "0/0 0/0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		sink.all()[1].ack()
		synctest.Wait()
		sink.all()[2].ack()
	})
}

func TestALockIsAskedForEvery20Seconds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 1)
		subscribe(t, c.open(), acking(), orderedConfig(), "orders")
		pass(2*time.Minute + time.Second)
		asked := 0
		for _, r := range b.requests(protocol.LockBatchMQ) {
			if strings.Contains(string(r.body), `"orders"`) {
				asked++
			}
		}
		if asked != 7 {
			t.Errorf("asked %d times in 2 minutes, want 7", asked)
		}
	})
}

// The queue is another's when its last offset is stored, and not before the handler
// has returned.
func TestAnOrderedQueueIsHandedOverWhenItsHandlerIsThrough(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, l := orderedCluster(t, 2)
		b.produce(orders1, 3)
		sink := new(collector)
		client := c.open(instance("1"))
		s := subscribe(t, client, sink, orderedConfig(), "orders")
		pass(time.Second)
		b.join("group", "zzz")
		pass(10 * time.Second)
		if l.of(orders1) != client.id {
			t.Fatalf("unlocked while its handler is at work: %q", l.of(orders1))
		}
		d := sink.all()[0]
		if d.ctx.Err() != nil {
			t.Error("the handler's ctx ended at once")
		}
		d.ack()
		synctest.Wait()
		if l.of(orders1) != "" || b.committed("group", orders1) != 1 {
			t.Errorf("locked by %q, committed %d, want 1", l.of(orders1), b.committed("group", orders1))
		}
		if n := len(sink.all()); n != 1 {
			t.Errorf("%d delivered after it was given up", n-1)
		}
		commits, unlocks := b.requests(protocol.UpdateConsumerOffset), b.requests(protocol.UnlockBatchMQ)
		if len(commits) == 0 || len(unlocks) != 1 {
			t.Fatalf("%d commits, %d unlocks", len(commits), len(unlocks))
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if l.of(orders0) != "" {
			t.Error("still locked after Stop")
		}
	})
}

func TestAHandlerHas20SecondsWhenItsOrderedQueueIsRevoked(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, l := orderedCluster(t, 2)
		b.produce(orders1, 3)
		sink := new(collector)
		subscribe(t, c.open(instance("1")), sink, orderedConfig(), "orders")
		pass(time.Second)
		b.join("group", "zzz")
		pass(21 * time.Second)
		d := sink.all()[0]
		if d.ctx.Err() == nil {
			t.Error("the handler's ctx goes on")
		}
		pass(2 * time.Minute)
		if l.of(orders1) == "" {
			t.Error("unlocked while the handler is at work")
		}
		d.ack()
		synctest.Wait()
		if l.of(orders1) != "" {
			t.Error("still locked")
		}
		if n := b.committed("group", orders1); n > 0 {
			t.Errorf("committed %d; what is settled after the ctx ended does not count", n)
		}
	})
}

// A queue that comes back before its handler returned has to wait for it.
func TestAnOrderedQueueThatComesBackWaitsForItsLastHandler(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, _ := orderedCluster(t, 2)
		b.produce(orders1, 2)
		sink := new(collector)
		subscribe(t, c.open(instance("1")), sink, orderedConfig(), "orders")
		pass(time.Second)
		for range 2 {
			b.join("group", "zzz")
			pass(3 * time.Second)
			b.part("group", "zzz")
			pass(3 * time.Second)
		}
		if n := len(sink.all()); n != 1 {
			t.Fatalf("%d delivered at the same time", n)
		}
		sink.all()[0].ack()
		pass(2 * time.Second)
		if got, want := sink.story(), "0/0 1/0"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		sink.all()[1].ack()
	})
}

func TestAnOrderedQueueStaysLockedWhileAHandlerDoesNotEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, l := orderedCluster(t, 1)
		b.produce(orders0, 1)
		s := subscribe(t, c.open(), new(collector), orderedConfig(), "orders")
		pass(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		if l.of(orders0) == "" {
			t.Error("unlocked beside a handler")
		}
	})
}

func TestRunningInfoTellsOfLocks(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, _, _ := orderedCluster(t, 1)
		s := subscribe(t, c.open(), acking(), orderedConfig(), "orders")
		pass(time.Second)
		infos := s.inspect(t.Context())
		q, ok := infos[wireQueue(orders0)]
		if !ok || !q.Locked || q.LastLockMs == 0 {
			t.Errorf("%+v of %v", q, slices.Collect(maps.Keys(infos)))
		}
	})
}

// A queue that is given up while it looks for its offset, with a handler of before.
func TestAnOrderedQueueIsNotUnlockedBesideAHandlerOfBefore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, l := orderedCluster(t, 2)
		b.produce(orders1, 1)
		sink := new(collector)
		client := c.open(instance("1"))
		subscribe(t, client, sink, orderedConfig(), "orders")
		pass(time.Second)
		l.give(orders1, otherMember)
		pass(20 * time.Second)
		b.refuse(protocol.QueryConsumerOffset, protocol.SystemError)
		l.give(orders1, "")
		pass(5 * time.Second)
		if l.of(orders1) != client.id {
			t.Fatal("not locked again")
		}
		b.join("group", "zzz")
		pass(5 * time.Second)
		if l.of(orders1) != client.id {
			t.Error("unlocked beside a handler")
		}
		sink.all()[0].ack()
	})
}

// The last word on the lock comes while the queue is given up.
func TestNothingIsCommittedWhenTheLockIsLostAtTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, b, l := orderedCluster(t, 1)
		b.produce(orders0, 3)
		sink := ackingBut("2", driver.Verdict{Delay: time.Hour})
		s := subscribe(t, c.open(), sink, orderedConfig(), "orders")
		pass(6 * time.Second)
		l.give(orders0, otherMember)
		answer := b.delayed(protocol.LockBatchMQ)
		pass(15 * time.Second)
		stopped := make(chan error, 1)
		go func() { stopped <- s.Stop(t.Context()) }()
		synctest.Wait()
		answer()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if n := b.committed("group", orders0); n != 2 {
			t.Errorf("committed %d, want 2, of the time with the lock", n)
		}
	})
}

// delayed keeps the requests of a code until answer is called; they are served then.
func (b *scripted) delayed(code protocol.Code) (answer func()) {
	b.mu.Lock()
	before := b.before[code]
	b.mu.Unlock()
	var mu sync.Mutex
	var waiting []func()
	b.on(code, func(conn *remoting.Conn, cmd *protocol.Command) bool {
		req := *cmd
		req.Body = slices.Clone(cmd.Body)
		mu.Lock()
		defer mu.Unlock()
		waiting = append(waiting, func() { before(conn, &req) })
		return true
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		b.on(code, before)
		for _, f := range waiting {
			f()
		}
	}
}
