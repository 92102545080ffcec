package brokerlite

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// arrival is a message with the moment at which it was delivered.
type arrival struct {
	body  string
	after time.Duration
}

func arrivals(list []protocol.Record, begun time.Time) []arrival {
	var got []arrival
	for _, r := range list {
		got = append(got, arrival{string(r.Body), time.UnixMilli(r.StoreTimestamp).Sub(begun)})
	}
	return got
}

// now is the bubble's time in whole milliseconds, as stores keep it.
func now() time.Time { return time.UnixMilli(time.Now().UnixMilli()) }

func TestEveryLevelIsDeliveredInItsTime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		begun := now()
		levels, err := protocol.ParseDelayLevels(protocol.DefaultDelayLevels)
		if err != nil {
			t.Fatal(err)
		}
		var want []arrival
		for i, delay := range levels {
			c.send(sending("orders", "DELAY", fmt.Sprint(i+1), "TAGS", "later"), fmt.Sprint(i+1))
			want = append(want, arrival{fmt.Sprint(i + 1), delay})
		}
		if n := len(c.messages("orders", 0)); n != 0 {
			t.Errorf("%d messages at once", n)
		}
		time.Sleep(3 * time.Hour)
		if diff := cmp.Diff(want, arrivals(c.messages("orders", 0), begun), cmp.AllowUnexported(arrival{})); diff != "" {
			t.Errorf("deliveries (-want +got):\n%s", diff)
		}
		if n := len(c.pull(pulling("orders", 0, "later")).records); n != 18 {
			t.Errorf("%d found by their tag", n)
		}
	})
}

func TestADelayedMessageKeepsApachesProperties(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 4)
		h := sending("orders", "DELAY", "99", "UNIQ_KEY", "k", "own", "v", "TIMER_DELAY_SEC", "5", "TIMER_DELIVER_MS", "1", "TIMER_DELAY_MS", "2")
		h.QueueID = 3
		if r := c.send(h, "x"); r.QueueID != 3 || r.QueueOffset != 0 {
			t.Errorf("%+v", r)
		}
		time.Sleep(2*time.Hour + time.Millisecond)
		list := c.messages("orders", 3)
		if len(list) != 1 {
			t.Fatalf("%d messages", len(list))
		}
		want := stamped(map[string]string{"UNIQ_KEY": "k", "own": "v", "DELAY": "18", "REAL_TOPIC": "orders", "REAL_QID": "3"})
		if diff := cmp.Diff(want, props(list[0])); diff != "" {
			t.Errorf("properties (-want +got):\n%s", diff)
		}
	})
}

func TestMessagesOfALevelKeepTheirOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		var want []string
		for i := range 1000 { // more than a turn
			want = append(want, fmt.Sprint(i))
			c.send(sending("orders", "DELAY", "1"), want[i])
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if diff := cmp.Diff(want, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLevelsCanBeConfigured(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		begun := now()
		for _, level := range []string{"1", "2", "3", "25"} {
			c.send(sending("orders", "DELAY", level), level)
		}
		time.Sleep(time.Hour)
		got := arrivals(c.messages("orders", 0), begun)
		want := []arrival{{"2", 0}, {"1", 7 * time.Second}, {"3", time.Minute}, {"25", 20 * time.Minute}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(arrival{})); diff != "" {
			t.Error(diff)
		}
	}, Conf("messageDelayLevel=7s 0s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 11m 12m 13m 14m 15m 16m 17m 20m"))
}

// restart stops the server cleanly, or kills it, and starts it anew from what it
// left.
type restart struct {
	t    *testing.T
	disk *vfs.Mem
	net  *Network
	b    *Broker
	opts []Option
}

func newRestart(t *testing.T, opts ...Option) *restart {
	r := &restart{t: t, disk: vfs.NewMem(), net: NewNetwork(), opts: opts}
	r.start()
	return r
}

func (r *restart) start() *client {
	r.t.Helper()
	b, err := Start(r.t.Context(), append([]Option{withFiles(r.disk), VirtualNetwork(r.net)}, r.opts...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.b = b
	r.t.Cleanup(func() { stop(r.t, b) })
	return dial(r.t, b)
}

// stop is a clean stop.
func (r *restart) stop() {
	r.t.Helper()
	stop(r.t, r.b)
}

// kill goes on with what another process would find if this one were killed now.
func (r *restart) kill() {
	r.t.Helper()
	killed := r.disk.Clone()
	stop(r.t, r.b)
	r.disk = killed
}

func TestDelaysSurviveARestart(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRestart(t)
				c := dial(t, r.b)
				c.createTopic("orders", 1)
				begun := now()
				for i := range 10 {
					c.send(sending("orders", "DELAY", "3"), fmt.Sprint("level ", i))
					c.send(sending("orders", "TIMER_DELAY_MS", "10000"), fmt.Sprint("timer ", i))
					c.send(sending("orders", "DELAY", "5"), fmt.Sprint("late level ", i))
					c.send(sending("orders", "TIMER_DELIVER_MS", itoa(begun.Add(time.Hour).UnixMilli())), fmt.Sprint("late timer ", i))
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(9*time.Second + 450*time.Millisecond) // 5 of 10 are due
				if how == "kill" {
					time.Sleep(1500 * time.Millisecond) // what was delivered a second ago is not repeated
					r.kill()
				} else {
					r.stop()
				}
				before := len(r.messagesOf(t, "orders"))
				time.Sleep(time.Minute) // some fall due while it is down
				r.start()
				time.Sleep(2 * time.Hour)
				c = dial(t, r.b)
				list := c.messages("orders", 0)
				got := bodies(list)
				slices.Sort(got)
				var want []string
				for i := range 10 {
					want = append(want, fmt.Sprint("late level ", i), fmt.Sprint("late timer ", i), fmt.Sprint("level ", i), fmt.Sprint("timer ", i))
				}
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("delivered (-want +got), %d before the restart:\n%s", before, diff)
				}
				for _, m := range list {
					if early := m.BornTimestamp + delayOf(m) - m.StoreTimestamp; early > 0 {
						t.Errorf("%s came %d ms too early", m.Body, early)
					}
				}
			})
		})
	}
}

// delayOf is the delay that a message of these tests asked for.
func delayOf(r protocol.Record) int64 {
	switch {
	case prop(r, "DELAY") == "3", prop(r, "TIMER_DELAY_MS") != "":
		return 10_000
	case prop(r, "DELAY") == "5":
		return 60_000
	}
	return 0
}

// messagesOf starts a server for a look, and stops it.
func (r *restart) messagesOf(t *testing.T, topic string) []protocol.Record {
	t.Helper()
	kept := r.disk
	r.disk = r.disk.Clone()
	c := r.start()
	list := c.messages(topic, 0)
	r.stop()
	r.disk = kept
	return list
}

func TestTimersAreExactToTheMillisecond(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		begun := now()
		at := func(d time.Duration) string { return itoa(begun.Add(d).UnixMilli()) }
		for _, m := range []struct {
			body  string
			props []string
		}{
			{"deliver", []string{"TIMER_DELIVER_MS", at(1234 * time.Millisecond)}},
			{"ms", []string{"TIMER_DELAY_MS", "1233"}},
			{"sec", []string{"TIMER_DELAY_SEC", "2"}},
			{"sec beats ms", []string{"TIMER_DELAY_SEC", "3", "TIMER_DELAY_MS", "1", "TIMER_DELIVER_MS", at(time.Millisecond)}},
			{"ms beats deliver", []string{"TIMER_DELAY_MS", "4000", "TIMER_DELIVER_MS", at(time.Millisecond)}},
			{"next", []string{"TIMER_DELAY_MS", "1"}},
			{"beyond Apache's three days", []string{"TIMER_DELAY_SEC", "288000"}},
			{"full hour", []string{"TIMER_DELIVER_MS", itoa(begun.Truncate(time.Hour).Add(5 * time.Hour).UnixMilli())}},
			{"before the full hour", []string{"TIMER_DELIVER_MS", itoa(begun.Truncate(time.Hour).Add(5*time.Hour).UnixMilli() - 1)}},
		} {
			c.send(sending("orders", m.props...), m.body)
		}
		time.Sleep(81 * time.Hour)
		hour := begun.Truncate(time.Hour).Add(5 * time.Hour).Sub(begun)
		want := []arrival{
			{"next", time.Millisecond}, {"ms", 1233 * time.Millisecond}, {"deliver", 1234 * time.Millisecond}, {"sec", 2 * time.Second},
			{"sec beats ms", 3 * time.Second}, {"ms beats deliver", 4 * time.Second}, {"before the full hour", hour - time.Millisecond},
			{"full hour", hour}, {"beyond Apache's three days", 80 * time.Hour},
		}
		if diff := cmp.Diff(want, arrivals(c.messages("orders", 0), begun), cmp.AllowUnexported(arrival{})); diff != "" {
			t.Errorf("deliveries (-want +got):\n%s", diff)
		}
	})
}

func TestATimerMessageKeepsApachesProperties(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		begun := now()
		c.send(sending("orders", "UNIQ_KEY", "k", "own", "v", "TIMER_DELAY_MS", "2500", "TAGS", "tag"), "x")
		time.Sleep(3 * time.Second)
		r := c.messages("orders", 0)[0]
		due := begun.Add(2500 * time.Millisecond).UnixMilli()
		want := stamped(map[string]string{
			"UNIQ_KEY": "k", "own": "v", "TAGS": "tag", "TIMER_DELAY_MS": "2500", "TIMER_OUT_MS": itoa(due / 1000 * 1000),
			"TIMER_ENQUEUE_MS": itoa(begun.UnixMilli()), "TIMER_DEQUEUE_MS": itoa(due), "REAL_TOPIC": "orders", "REAL_QID": "0",
		})
		if diff := cmp.Diff(want, props(r)); diff != "" {
			t.Errorf("properties (-want +got):\n%s", diff)
		}
		if n := len(c.pull(pulling("orders", 0, "tag")).records); n != 1 {
			t.Errorf("%d found by the tag", n)
		}
	})
}

// TestManyTimersOverDaysAndRestarts sends timers of any length, stops or kills the
// server now and then, and wants every message once, or after a kill at least once,
// and never early.
func TestManyTimersOverDaysAndRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 2))
		r := newRestart(t)
		c := dial(t, r.b)
		c.createTopic("orders", 1)
		sent := map[string]int64{} // body to due
		kills := 0
		for round := range 8 {
			for i := range 20 {
				body := fmt.Sprint(round, " ", i)
				due := now().UnixMilli() + rnd.Int64N([]int64{100, 10_000, 5_000_000, 40_000_000}[rnd.IntN(4)])
				sent[body] = due
				c.send(sending("orders", "TIMER_DELIVER_MS", itoa(due)), body)
			}
			time.Sleep(time.Duration(rnd.Int64N(int64(6 * time.Hour))))
			switch rnd.IntN(3) {
			case 0:
				r.kill()
				kills++
			default:
				r.stop()
			}
			time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Hour))))
			c = r.start()
		}
		time.Sleep(12 * time.Hour)
		c = dial(t, r.b)
		count := map[string]int{}
		for _, m := range c.messages("orders", 0) {
			count[string(m.Body)]++
			if m.StoreTimestamp < sent[string(m.Body)] {
				t.Errorf("%s came %d ms early", m.Body, sent[string(m.Body)]-m.StoreTimestamp)
			}
		}
		twice := 0
		for body := range sent {
			switch n := count[body]; {
			case n == 0:
				t.Errorf("%s was lost", body)
			case n > 1:
				twice++
			}
		}
		if twice > kills*20 {
			t.Errorf("%d messages came twice after %d kills", twice, kills)
		}
		t.Logf("%d messages, %d kills, %d came twice", len(sent), kills, twice)
	})
}

func TestTimersCanBeOff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		h := sending("orders", "TIMER_DELAY_SEC", "1")
		if resp := c.call(h.Code, h, []byte("x")); resp.Code != protocol.SystemError || resp.Remark != "accurate timer message is not enabled, timerWheelEnable is false" {
			t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
	}, Conf("timerWheelEnable=false"))
}
