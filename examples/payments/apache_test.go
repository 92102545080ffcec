package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

// orderTimesOut makes an order that nobody pays, and one that somebody does.
func orderTimesOut(t *testing.T, r *running, timeout time.Duration) {
	t.Helper()
	begun := time.Now()
	due, isPaid := r.order(), r.order()
	r.request(http.MethodGet, "/api/pay/pay_cb?text=x&order="+isPaid, "", "")
	r.log.await(t, `order is closed.* order=`+due)
	if took := time.Since(begun); took < timeout {
		t.Errorf("closed after %v", took)
	}
	r.is(due, closed)
	r.log.await(t, `(order is paid|must be refunded)" order=`+isPaid) // whichever was first
}

func TestOnApacheRocketMQ(t *testing.T) {
	apache.Require(t)
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			nameServer := apache.StartFor(t, apache.Options{Version: version}).NameServer()
			dir := t.TempDir()
			r := start(t, settingsFor(t, dir, "--name-servers", nameServer, "--order-timeout", "1s", "--retries", "0"))
			orderTimesOut(t, r, time.Second)
			for _, path := range []string{"pay_cb", "async", "oneway", "delay"} {
				if status, _, body := r.request(http.MethodPost, "/api/pay/"+path+"?text="+path, "", ""); status != 200 || path == "pay_cb" != strings.Contains(body, `"sendStatus":"SEND_OK"`) {
					t.Errorf("%s: %d %s", path, status, body)
				}
			}
			for _, path := range []string{"pay_cb", "async", "oneway", "delay"} {
				r.log.await(t, "topic=pay_test_topic, tags=tag1, keys=1234, msg=Hello rocketmq = "+path)
			}
			r.request(http.MethodGet, "/api/pay/pay_cb?text=fail", "", "")
			r.log.await(t, "payment is dead")
			if dead := get[[]deadPayment](r, "/api/pay/dead"); len(dead) != 1 || dead[0].Body != "Hello rocketmq = fail" || dead[0].Deliveries != 1 {
				t.Errorf("dead payments: %+v", dead)
			}
			r.end()

			// No level: 5.x has timer messages, 4.9 has not.
			s := settingsFor(t, dir, "--name-servers", nameServer, "--order-timeout", "2500ms")
			if version == apache.V4 {
				got := failsToStart(t, s)
				for _, want := range []string{"--order-timeout 2.5s", "nearest are level 1 (1s) or level 2 (5s)", "need RocketMQ 5.0"} {
					if !strings.Contains(got, want) {
						t.Errorf("%q is missing in: %s", want, got)
					}
				}
				return
			}
			orderTimesOut(t, start(t, s), 2500*time.Millisecond)
		})
	}
}
