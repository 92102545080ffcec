package main

import (
	"database/sql"
	"net/http"
	"strings"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

func TestAnOrderTimesOutInRealTime(t *testing.T) {
	t.Parallel()
	r := start(t, settingsFor(t, t.TempDir(), "--order-timeout", "300ms")) // no level: by the server's timer
	begun := time.Now()
	id := r.order()
	r.is(id, unpaid)
	r.log.await(t, `order is closed.* order=`+id)
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
	r.is(id, closed)
}

func TestAnOrderTimesOutAfterHalfAnHour(t *testing.T) {
	t.Parallel()
	s, clock := withClock(settingsFor(t, t.TempDir())) // the default
	r := start(t, s)
	first := r.order()
	if o := get[order](r, "/api/orders/"+first); o.Closes.Sub(o.Created) != 30*time.Minute {
		t.Errorf("%+v", o)
	}
	clock.Advance(29 * time.Minute)
	second := r.order()
	r.log.advance(t, clock, time.Minute, `order is closed.* order=`+first)
	r.is(first, closed)
	r.is(second, unpaid)
	r.log.advance(t, clock, 29*time.Minute, `order is closed.* order=`+second)
	r.is(second, closed)
}

func TestAPaidOrderStaysPaid(t *testing.T) {
	t.Parallel()
	s, clock := withClock(settingsFor(t, t.TempDir()))
	r := start(t, s)
	id := r.order()
	r.request(http.MethodGet, "/api/pay/pay_cb?text=x&order="+id, "", "")
	r.log.await(t, `order is paid" order=`+id)
	r.log.advance(t, clock, 30*time.Minute, `order has not timed out" order=`+id+` status=paid`)
	r.is(id, paid)
}

func TestAPaymentThatComesTooLateChangesNothing(t *testing.T) {
	t.Parallel()
	s, clock := withClock(settingsFor(t, t.TempDir()))
	r := start(t, s)
	id := r.order()
	r.log.advance(t, clock, 30*time.Minute, `order is closed.* order=`+id)
	r.request(http.MethodGet, "/api/pay/pay_cb?text=x&order="+id, "", "")
	r.log.await(t, `must be refunded" order=`+id)
	r.is(id, closed)
}

func TestOrdersAndTheirTimeOutsSurviveARestart(t *testing.T) {
	t.Parallel()
	s, clock := withClock(settingsFor(t, t.TempDir(), "--retries", "0"))
	r := start(t, s)
	due, isPaid := r.order(), r.order()
	r.request(http.MethodGet, "/api/pay/pay_cb?text=x&order="+isPaid, "", "")
	r.log.await(t, `order is paid`)
	r.request(http.MethodGet, "/api/pay/pay_cb?text=fail", "", "")
	r.log.await(t, `payment is dead`)
	r.end()

	r = start(t, s)
	r.is(due, unpaid)
	r.is(isPaid, paid)
	if dead := get[[]deadPayment](r, "/api/pay/dead"); len(dead) != 1 || dead[0].Deliveries != 1 {
		t.Errorf("dead payments: %+v", dead)
	}
	r.log.advance(t, clock, 30*time.Minute, `order is closed.* order=`+due)
	r.is(due, closed)
	r.log.await(t, `order has not timed out" order=`+isPaid)
}

// Whichever comes first wins, and only once: the UPDATE decides, not who looked.
func TestAnOrderIsSettledOnce(t *testing.T) {
	t.Parallel()
	db, end, err := openDatabase(t.Context(), settingsFor(t, t.TempDir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	for i := range 20 {
		id := string(rune('a' + i))
		if err := db.addOrder(t.Context(), order{ID: id, Status: unpaid}); err != nil {
			t.Fatal(err)
		}
		type outcome struct {
			wanted, is string
			changed    bool
			err        error
		}
		outcomes := make(chan outcome)
		for _, status := range []string{paid, closed, paid, closed} {
			go func() {
				is, changed, err := db.settle(t.Context(), id, status)
				outcomes <- outcome{status, is, changed, err}
			}()
		}
		winner, changes := "", 0
		var all []outcome
		for range 4 {
			o := <-outcomes
			if o.err != nil {
				t.Fatal(o.err)
			}
			if all = append(all, o); o.changed {
				winner = o.wanted
				changes++
			}
		}
		for _, o := range all {
			if changes != 1 || o.is != winner {
				t.Fatalf("order %s: %+v", id, all)
			}
		}
	}
	if _, _, err := db.settle(t.Context(), "none", paid); !strings.Contains(err.Error(), "no such order") {
		t.Error(err)
	}
}

func TestATimeOutOfNoOrderIsPassedOver(t *testing.T) {
	t.Parallel()
	s, clock := withClock(settingsFor(t, t.TempDir()))
	r := start(t, s)
	id := r.order()
	db, err := sql.Open("sqlite", s.DB)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `DELETE FROM orders`); err != nil { // as if it could not be written
		t.Fatal(err)
	}
	r.log.advance(t, clock, 30*time.Minute, `skipped the message.*`+id+`.*acknowledged`)
}

// A database that is locked may keep an order only when its time is over.
func TestATimeOutThatComesBeforeItsOrderComesAgain(t *testing.T) {
	t.Parallel()
	s, clock := withClock(settingsFor(t, t.TempDir(), "--order-timeout", "1s"))
	r := start(t, s)
	id := r.order()
	db, err := sql.Open("sqlite", s.DB)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `ALTER TABLE orders RENAME TO kept; CREATE TABLE orders AS SELECT * FROM kept WHERE 0`); err != nil {
		t.Fatal(err)
	}
	r.log.advance(t, clock, time.Second, `no such order.*retry 1 of`)
	if _, err := db.ExecContext(t.Context(), `INSERT INTO orders SELECT * FROM kept`); err != nil {
		t.Fatal(err)
	}
	r.log.advance(t, clock, 10*time.Second, `order is closed.* order=`+id)
	r.is(id, closed)
}

func TestATimeOutThatTheServerCannotKeepFailsTheStart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		timeout, conf string
		says          []string
	}{
		"no timer":      {"47s", "timerWheelEnable=false", []string{"--order-timeout 47s", "nearest are level 4 (30s) or level 5 (1m)", "timerWheelEnable"}},
		"too far ahead": {"100h", "timerMaxDelaySec=259200", []string{"--order-timeout 100h", "nearest are level 18 (2h)", "timerMaxDelaySec"}},
		"no topic":      {"47s", "autoCreateTopicEnable=false", []string{"--order-timeout 47s", "nearest are level 4 (30s) or level 5 (1m)", "rocketkit topic create order_timeout_topic"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := settingsFor(t, t.TempDir(), "--order-timeout", tc.timeout)
			s.server = []brokerlite.Option{brokerlite.Conf(tc.conf)}
			got := failsToStart(t, s)
			for _, want := range tc.says {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in: %s", want, got)
				}
			}
			// The other service does not ask.
			s.Service = servicePay
			start(t, s)
		})
	}
}

// A level needs no timer.
func TestALevelNeedsNoTimer(t *testing.T) {
	t.Parallel()
	s, clock := withClock(settingsFor(t, t.TempDir(), "--order-timeout", "10m"))
	s.server = append(s.server, brokerlite.Conf("timerWheelEnable=false"))
	r := start(t, s)
	id := r.order()
	r.log.advance(t, clock, 10*time.Minute, `order is closed.* order=`+id)
}

func TestATimeOutThatIsNoLevelNeedsTheServerAtTheStart(t *testing.T) {
	t.Parallel()
	got := failsToStart(t, settingsFor(t, t.TempDir(), "--order-timeout", "47s", "--name-servers", "127.0.0.1:1"))
	for _, want := range []string{"--order-timeout 47s", "127.0.0.1:1"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in: %s", want, got)
		}
	}
}
