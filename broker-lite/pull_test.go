package brokerlite

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// suspending is a pull that waits for a message.
func suspending(topic string, offset int64, expr string, d time.Duration) *protocol.PullRequest {
	h := pulling(topic, offset, expr)
	h.SysFlag |= protocol.PullSuspend
	h.SuspendTimeout = d.Milliseconds()
	return h
}

// waiting is a pull that was started.
type waiting struct {
	c     *client
	begun time.Time
	done  chan pulled
	after time.Duration // set before done
}

func (c *client) startPull(h *protocol.PullRequest) *waiting {
	w := &waiting{c: c, begun: time.Now(), done: make(chan pulled, 1)}
	go func() {
		p := c.pull(h)
		w.after = time.Since(w.begun)
		w.done <- p
	}()
	return w
}

// pending reports whether the pull is not answered when all is quiet.
func (w *waiting) pending() bool {
	synctest.Wait()
	return len(w.done) == 0
}

func (w *waiting) wait() pulled { return <-w.done }

func TestPullsAnswerAsApacheDoes(t *testing.T) {
	t.Parallel()
	with := func(edit func(h *protocol.PullRequest)) *protocol.PullRequest {
		h := pulling("orders", 0, "*")
		edit(h)
		return h
	}
	for _, test := range []struct {
		name           string
		h              *protocol.PullRequest
		code           protocol.Code
		remark         string
		next, min, max int64
		bodies         []string
	}{
		{"a hit", with(func(h *protocol.PullRequest) { h.QueueOffset, h.MaxMessages = 1, 2 }), protocol.Success, "FOUND", 3, 0, 5, []string{"b1", "b2"}},
		{"by tags", pulling("orders", 0, "odd || none"), protocol.Success, "FOUND", 5, 0, 5, []string{"b1", "b3"}},
		{"all by an empty expression", pulling("orders", 3, ""), protocol.Success, "FOUND", 5, 0, 5, []string{"b3", "b4"}},
		{"no match", pulling("orders", 0, "none"), protocol.PullRetryImmediately, "NO_MATCHED_MESSAGE", 5, 0, 5, nil},
		{"at the end", pulling("orders", 5, "*"), protocol.PullNotFound, "OFFSET_OVERFLOW_ONE", 5, 0, 5, nil},
		{"past the end", pulling("orders", 9, "*"), protocol.PullOffsetMoved, "OFFSET_OVERFLOW_BADLY", 5, 0, 5, nil},
		{"before the beginning", pulling("orders", -1, "*"), protocol.PullOffsetMoved, "OFFSET_TOO_SMALL", 0, 0, 5, nil},
		{"an empty queue", with(func(h *protocol.PullRequest) { h.QueueID = 1 }), protocol.PullNotFound, "NO_MESSAGE_IN_QUEUE", 0, 0, 0, nil},
		{"an empty queue, from an offset", with(func(h *protocol.PullRequest) { h.QueueID, h.QueueOffset = 1, 7 }), protocol.PullOffsetMoved, "NO_MESSAGE_IN_QUEUE", 0, 0, 0, nil},
		{"none at all, as client-go asks", with(func(h *protocol.PullRequest) { h.MaxMessages = 0 }), protocol.Success, "FOUND", 1, 0, 5, []string{"b0"}},
		{"very many", with(func(h *protocol.PullRequest) { h.MaxMessages = 1<<31 - 1 }), protocol.Success, "FOUND", 3, 0, 5, []string{"b0", "b1", "b2"}},
		{"fewer than none", with(func(h *protocol.PullRequest) { h.MaxMessages = -5 }), protocol.Success, "FOUND", 1, 0, 5, []string{"b0"}},
		{"few bytes", with(func(h *protocol.PullRequest) { h.MaxBytes = protocol.SomeInt32(1) }), protocol.Success, "FOUND", 1, 0, 5, []string{"b0"}},
		{"no such queue", with(func(h *protocol.PullRequest) { h.QueueID = 2 }), protocol.InvalidParameter, "queueId[2] is illegal, topic:[orders] topicConfig.readQueueNums:[2] consumer:", 0, 0, 0, nil},
		{"a negative queue", with(func(h *protocol.PullRequest) { h.QueueID = -1 }), protocol.InvalidParameter, "queueId[-1] is illegal", 0, 0, 0, nil},
		{"no such topic", pulling("none", 0, "*"), protocol.TopicNotExist, "topic[none] not exist, apply first please!", 0, 0, 0, nil},
		{"a group that cannot be", with(func(h *protocol.PullRequest) { h.ConsumerGroup = "a b" }), protocol.GroupNotExist, "subscription group [a b] does not exist", 0, 0, 0, nil},
		{"no expression at all", pulling("orders", 0, "||"), protocol.SubscriptionParse, "parse the consumer's subscription failed", 0, 0, 0, nil},
		{"SQL92", with(func(h *protocol.PullRequest) { h.ExpressionType, h.Subscription = "SQL92", "TAGS = 'odd'" }), protocol.Success, "FOUND", 5, 0, 5, []string{"b1", "b3"}},
		{"SQL92 that nothing matches", with(func(h *protocol.PullRequest) { h.ExpressionType, h.Subscription = "SQL92", "a > 1" }), protocol.PullRetryImmediately, "NO_MATCHED_MESSAGE", 5, 0, 5, nil},
		{"wrong SQL92", with(func(h *protocol.PullRequest) { h.ExpressionType, h.Subscription = "SQL92", "a >" }), protocol.SubscriptionParse, "parse the consumer's subscription failed", 0, 0, 0, nil},
		{"an unknown type of expression", with(func(h *protocol.PullRequest) { h.ExpressionType, h.Subscription = "REGEX", "a" }), protocol.SubscriptionParse, "parse the consumer's subscription failed", 0, 0, 0, nil},
		{"a group without a heartbeat", with(func(h *protocol.PullRequest) { h.SysFlag = 0 }), protocol.SubscriptionNotExist, "the consumer's group info not exist", 0, 0, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				c.createTopic("orders", 2)
				for i := range 5 {
					c.send(sending("orders", "TAGS", []string{"even", "odd"}[i%2]), fmt.Sprint("b", i))
				}
				for _, code := range []protocol.Code{protocol.PullMessage, protocol.LitePullMessage} {
					p := c.pulled(c.call(code, test.h, nil))
					if p.code != test.code || !strings.HasPrefix(p.remark, test.remark) {
						t.Fatalf("%s: %s", protocol.ResponseName(p.code), p.remark)
					}
					if p.NextBeginOffset != test.next || p.MinOffset != test.min || p.MaxOffset != test.max {
						t.Errorf("%+v", p.PullResponse)
					}
					if diff := cmp.Diff(append([]string{}, test.bodies...), bodies(p.records)); diff != "" {
						t.Error(diff)
					}
				}
			}, Conf("maxTransferCountOnMessageInMemory=3"))
		})
	}
}

func TestAPullFindsTheSubscriptionOfItsGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.createTopic("others", 1)
		c.send(sending("orders", "TAGS", "a"), "a")
		c.send(sending("orders", "TAGS", "b"), "b")
		c.heartbeat("me", "", "consumers", subscription(t, "orders", "b"))
		h := pulling("orders", 0, "ignored")
		h.SysFlag, h.SubVersion = 0, 1
		if got := bodies(c.pull(h).records); len(got) != 1 || got[0] != "b" {
			t.Errorf("%q", got)
		}
		h.SubVersion = 2
		if p := c.pull(h); p.code != protocol.SubscriptionNotLatest || p.remark != "the consumer's subscription not latest" {
			t.Errorf("a later version: %s: %s", protocol.ResponseName(p.code), p.remark)
		}
		h.Topic = "others"
		if p := c.pull(h); p.code != protocol.SubscriptionNotExist || !strings.HasPrefix(p.remark, "the consumer's subscription not exist") {
			t.Errorf("another topic: %s: %s", protocol.ResponseName(p.code), p.remark)
		}
	})
}

func TestAPullCommitsItsOffset(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "x")
		offset := func() int64 {
			t.Helper()
			var r protocol.OffsetResponse
			resp := c.ok(protocol.QueryConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: "consumers", Topic: "orders"}, nil)
			if err := r.DecodeFields(resp.Fields); err != nil {
				t.Fatal(err)
			}
			return r.Offset
		}
		h := pulling("orders", 0, "*")
		h.CommitOffset = 7
		c.pull(h)
		if got := offset(); got != 0 {
			t.Errorf("without the flag: %d", got)
		}
		h.SysFlag |= protocol.PullCommitOffset
		c.pull(h)
		if got := offset(); got != 7 {
			t.Errorf("with the flag: %d", got)
		}
		h = suspending("orders", 1, "*", 5*time.Second)
		h.SysFlag |= protocol.PullCommitOffset
		h.CommitOffset = 1
		c.startPull(h)
		synctest.Wait()
		if got := offset(); got != 1 {
			t.Errorf("while it waits: %d", got)
		}
		c.ok(protocol.UpdateConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.UpdateConsumerOffset, ConsumerGroup: "consumers", Topic: "orders", CommitOffset: 3}, nil)
		time.Sleep(6 * time.Second)
		if got := offset(); got != 3 {
			t.Errorf("after it was answered: %d", got)
		}
		h.CommitOffset, h.SuspendTimeout = -1, 0
		c.pull(h)
		if got := offset(); got != 3 {
			t.Errorf("a negative offset: %d", got)
		}
	})
}

func TestALongPollWaits(t *testing.T) {
	t.Parallel()
	t.Run("until a message comes", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *Broker, c *client) {
			c.createTopic("orders", 2)
			w := c.startPull(suspending("orders", 0, "*", 30*time.Second))
			other := c.startPull(suspending("orders", 0, "*", 30*time.Second))
			time.Sleep(10 * time.Second)
			h := sending("orders")
			h.QueueID = 1
			c.send(h, "another queue")
			if !w.pending() {
				t.Fatalf("woken by another queue: %+v", w.wait())
			}
			c.send(sending("orders"), "x")
			for _, w := range []*waiting{w, other} {
				if p := w.wait(); p.code != protocol.Success || w.after != 10*time.Second || len(p.records) != 1 {
					t.Errorf("%s %q after %v", protocol.ResponseName(p.code), bodies(p.records), w.after)
				}
			}
		})
	})
	t.Run("until one with its tag comes", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *Broker, c *client) {
			c.createTopic("orders", 1)
			w := c.startPull(suspending("orders", 0, "mine", 30*time.Second))
			for range 20 {
				time.Sleep(time.Second)
				c.send(sending("orders", "TAGS", "other"), "x")
				c.send(sending("orders"), "none")
				if !w.pending() {
					t.Fatalf("woken by another tag: %+v", w.wait())
				}
			}
			c.send(sending("orders", "TAGS", "mine"), "mine")
			if p := w.wait(); p.code != protocol.Success || w.after != 20*time.Second || p.NextBeginOffset != 41 {
				t.Errorf("%s %q after %v", protocol.ResponseName(p.code), bodies(p.records), w.after)
			}
		})
	})
	t.Run("until its time is up", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *Broker, c *client) {
			c.createTopic("orders", 1)
			var list []*waiting
			for i := range 20 {
				list = append(list, c.startPull(suspending("orders", 0, "*", time.Duration(20-i)*time.Second)))
			}
			for i, w := range list {
				if p := w.wait(); p.code != protocol.PullNotFound || w.after != time.Duration(20-i)*time.Second || p.remark != "NO_MESSAGE_IN_QUEUE" {
					t.Errorf("%s %s after %v", protocol.ResponseName(p.code), p.remark, w.after)
				}
			}
		})
	})
	t.Run("and then says how far it has looked", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *Broker, c *client) {
			c.createTopic("orders", 1)
			w := c.startPull(suspending("orders", 0, "mine", 15*time.Second))
			synctest.Wait()
			c.send(sending("orders", "TAGS", "other"), "x")
			if p := w.wait(); p.code != protocol.PullRetryImmediately || p.NextBeginOffset != 1 || w.after != 15*time.Second {
				t.Errorf("%s, next %d after %v", protocol.ResponseName(p.code), p.NextBeginOffset, w.after)
			}
		})
	})
	t.Run("not when the offset is wrong or nothing matches", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *Broker, c *client) {
			c.createTopic("orders", 1)
			c.send(sending("orders", "TAGS", "other"), "x")
			for _, h := range []*protocol.PullRequest{suspending("orders", 7, "*", time.Minute), suspending("orders", 0, "mine", time.Minute)} {
				w := c.startPull(h)
				if p := w.wait(); w.after != 0 || p.code == protocol.PullNotFound {
					t.Errorf("%s after %v", protocol.ResponseName(p.code), w.after)
				}
			}
		})
	})
	t.Run("not without the flag", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *Broker, c *client) {
			c.createTopic("orders", 1)
			h := pulling("orders", 0, "*")
			h.SuspendTimeout = 15000
			if w := c.startPull(h); w.wait().code != protocol.PullNotFound || w.after != 0 {
				t.Errorf("after %v", w.after)
			}
		})
	})
	t.Run("ten minutes at most", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *Broker, c *client) {
			c.createTopic("orders", 1)
			h := suspending("orders", 0, "*", 0)
			h.SuspendTimeout = 1<<63 - 1
			w := c.startPull(h)
			for range 9 { // a silent connection would be closed
				time.Sleep(time.Minute)
				c.heartbeat("me", "producers", "")
			}
			if w.wait(); w.after != 10*time.Minute {
				t.Errorf("after %v", w.after)
			}
		})
	})
	t.Run("a second when long polling is off", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *Broker, c *client) {
			c.createTopic("orders", 1)
			w := c.startPull(suspending("orders", 0, "*", time.Minute))
			synctest.Wait()
			c.send(sending("orders"), "x")
			if p := w.wait(); p.code != protocol.Success || w.after != time.Second {
				t.Errorf("%s after %v", protocol.ResponseName(p.code), w.after)
			}
		}, Conf("longPollingEnable=false"))
	})
}

func TestALongPollDiesWithItsConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		other := dial(t, b)
		for range 10 {
			go func() {
				if _, err := other.try(t.Context(), protocol.PullMessage, suspending("orders", 0, "*", 30*time.Second), nil); err == nil {
					t.Error("a pull was answered after its connection had closed")
				}
			}()
		}
		synctest.Wait()
		other.close()
		synctest.Wait()
		if n := b.broker.ParkedPulls(); n != 0 {
			t.Errorf("%d pulls are parked still", n)
		}
		c.send(sending("orders"), "x")
	})
}

// TestNoWakeUpIsLost lets messages come at the very moment at which pulls park.
func TestNoWakeUpIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		const n = 2000
		c.createTopic("orders", 1)
		consumer := dial(t, b)
		got := make(chan int64, 1)
		begun := time.Now()
		go func() {
			h := suspending("orders", 0, "*", 15*time.Second)
			for h.QueueOffset < n {
				h.QueueOffset = consumer.pull(h).NextBeginOffset
			}
			got <- h.QueueOffset
		}()
		for i := range n {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		if <-got; time.Since(begun) > time.Second {
			t.Errorf("a pull slept although messages were there: %v", time.Since(begun))
		}
	})
}
