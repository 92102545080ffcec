package brokerlite

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// late reports whether a message's time is up.
func late(r protocol.PopReceipt) bool {
	return time.Now().UnixMilli() >= r.PopTime+r.InvisibleTime
}

// TestWhatIsAnsweredAboutInvisibleMessagesOutlivesAPowerCut pops, acknowledges and
// changes times at random under synchronous flush, and cuts the power in the middle.
func TestWhatIsAnsweredAboutInvisibleMessagesOutlivesAPowerCut(t *testing.T) {
	seeds := []uint64{564} // where POP's state left a queue to a consumer offset that was not saved
	for seed := range uint64(30) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRestart(t, SyncFlush())
				c := dial(t, r.b)
				c.createTopic("orders", 2)
				time.Sleep(time.Second)
				rng := rand.New(rand.NewPCG(seed, 0))
				sent, acked := map[string]bool{}, map[string]bool{}
				for range 2 {
					var held []popped
					for range 60 {
						switch n := rng.IntN(10); {
						case n < 3:
							h := sending("orders")
							h.QueueID = rng.Int32N(2)
							body := fmt.Sprint(len(sent))
							c.send(h, body)
							sent[body] = true
						case n < 6:
							h := popping("orders")
							h.MaxMessages, h.InvisibleTime = 1+rng.Int32N(4), rng.Int64N(120_000)
							held = append(held, c.pop(h))
						case n < 8 && len(held) > 0:
							p := held[rng.IntN(len(held))]
							for i, m := range p.records {
								c.ack("orders", p.receipts[i])
								if !late(p.receipts[i]) {
									acked[string(m.Body)] = true
								}
							}
						case n < 9 && len(held) > 0:
							p := held[rng.IntN(len(held))]
							for i := range p.records {
								if late(p.receipts[i]) {
									continue // its answer would say no more than success
								}
								p.receipts[i] = c.hide("orders", p.receipts[i], time.Duration(rng.Int64N(60_000))*time.Millisecond)
							}
						default:
							time.Sleep(time.Duration(rng.Int64N(20_000)) * time.Millisecond)
						}
					}
					synctest.Wait()
					cut := r.disk.Crash(rng.Uint64())
					stop(t, r.b)
					r.disk = cut
					c = r.start()
				}
				var got []string
				for range 2 {
					time.Sleep(10 * time.Minute)
					synctest.Wait()
					for {
						h := popping("orders")
						h.InvisibleTime = (2 * time.Hour).Milliseconds()
						p := c.pop(h)
						if p.code != protocol.Success {
							break
						}
						got = append(got, p.bodies()...)
					}
				}
				slices.Sort(got)
				var want []string
				for body := range sent {
					if !acked[body] {
						want = append(want, body)
					}
				}
				slices.Sort(want)
				if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
					t.Errorf("not acknowledged (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestNothingIsPoppedWhileTheJournalCannotBeWritten(t *testing.T) {
	onDisk(t, func(t *testing.T, b *Broker, c *client, disk *stallingDisk) {
		c.createTopic("orders", 1)
		for i := range 4 {
			c.send(sending("orders"), fmt.Sprint(i))
		}
		h := popping("orders")
		h.MaxMessages = 1
		held := c.pop(h)
		disk.set(func() { disk.full = true })
		for range 3 { // the first is popped, but its answer is not stored
			if p := c.pop(h); p.code == protocol.Success || len(p.records) > 0 {
				t.Errorf("%s with %d messages", protocol.ResponseName(p.code), len(p.records))
			}
		}
		if resp := c.call(protocol.AckMessage, acking("orders", held.receipts[0]), nil); resp.Code == protocol.Success {
			t.Error("an acknowledgement was taken")
		}
		if n := b.broker.Invisible(); n != 2 {
			t.Errorf("%d messages are invisible", n)
		}
		disk.set(func() { disk.full = false })
		time.Sleep(2 * time.Second)
		c.ack("orders", held.receipts[0])
		c.ack("orders", c.expectPop("orders", "2", "3").receipts...)
		time.Sleep(time.Minute)
		c.ack("orders", c.expectPop("orders", "1").receipts...)
	})
}

func TestAManualClockMovesInvisibility(t *testing.T) {
	t.Parallel()
	clk := NewManualClock(time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC))
	b := start(t, InMemory(), WithClock(clk))
	c := dial(t, b)
	c.createTopic("orders", 1)
	c.send(sending("orders"), "1")
	expect := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(append([]string{}, want...), c.pop(popping("orders")).bodies()); diff != "" {
			t.Error(diff)
		}
	}
	expect("1")
	clk.Advance(59_999 * time.Millisecond)
	expect()
	clk.Advance(time.Millisecond)
	expect("1")
	clk.Advance(time.Hour)
	expect("1")
}
