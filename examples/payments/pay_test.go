package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const form = "application/x-www-form-urlencoded"

func TestPayCallbackAnswersTheSendResult(t *testing.T) {
	t.Parallel()
	r := start(t, settingsFor(t, t.TempDir()))
	const multipart = "--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nmulti\r\n--b--\r\n"
	for name, tc := range map[string]struct{ method, query, kind, body, logged string }{
		"query":              {"GET", "?text=hello", "", "", "tags=tag1, keys=1234, msg=Hello rocketmq = hello"},
		"query, other verbs": {"DELETE", "?text=gone&tag=tag2", "", "", "tags=tag2, keys=1234, msg=Hello rocketmq = gone"},
		"form":               {"POST", "", form, "text=from+a+form&order=77&tag=t", "tags=t, keys=77, msg=Hello rocketmq = from a form"},
		"form, put":          {"PUT", "?tag=q", form, "text=put", "tags=q, keys=1234, msg=Hello rocketmq = put"},
		"multipart form":     {"POST", "", "multipart/form-data; boundary=b", multipart, "tags=tag1, keys=1234, msg=Hello rocketmq = multi"},
		"not ASCII":          {"GET", "?text=" + url.QueryEscape("支付 €"), "", "", "tags=tag1, keys=1234, msg=Hello rocketmq = 支付 €"},
		"empty text and tag": {"GET", "?text=&tag=&order=", "", "", `tags=tag1, keys=1234, msg=Hello rocketmq = "`},
	} {
		status, header, body := r.request(tc.method, "/api/pay/pay_cb"+tc.query, tc.kind, tc.body)
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %d %q: %v", name, status, body, err)
		}
		queue, _ := got["messageQueue"].(map[string]any)
		if got["sendStatus"] != "SEND_OK" || len(got["msgId"].(string)) != 32 || len(got["offsetMsgId"].(string)) != 32 || queue["topic"] != payTopic || queue["brokerName"] != "broker-a" {
			t.Errorf("%s: %s", name, body)
		}
		r.log.await(t, "topic=pay_test_topic, "+tc.logged)
	}
}

func TestTheOtherSendsAnswerNothing(t *testing.T) {
	t.Parallel()
	s, clock := withClock(settingsFor(t, t.TempDir()))
	r := start(t, s)
	for _, path := range []string{"async", "oneway", "delay"} {
		for _, method := range []string{"GET", "POST", "PATCH"} {
			status, _, body := r.request(method, "/api/pay/"+path+"?tag=t&order=77&text="+path+method, "", "")
			if status != 200 || body != "" {
				t.Errorf("%s %s: %d %q", method, path, status, body)
			}
		}
	}
	r.log.await(t, "keys=77, msg=Hello rocketmq = asyncGET")
	r.log.await(t, "keys=77, msg=Hello rocketmq = onewayPATCH")
	// One callback for each that has one, in no order.
	r.log.await(t, "(?s)(send result SEND_OK, msg=SendResult .*){6}")
	clock.Advance(4 * time.Second)
	if strings.Contains(r.log.String(), "= delay") {
		t.Error("a delayed payment came before its time")
	}
	clock.Advance(time.Second)
	r.log.await(t, "tags=t, keys=1234, msg=Hello rocketmq = delayPOST") // it pays no order
}

func TestAPaymentPaysItsOrder(t *testing.T) {
	t.Parallel()
	r := start(t, settingsFor(t, t.TempDir()))
	for _, path := range []string{"pay_cb", "async", "oneway"} {
		id := r.order()
		r.is(id, unpaid)
		r.request("GET", "/api/pay/"+path+"?text=x&order="+id, "", "")
		r.log.await(t, `order is paid" order=`+id)
		r.is(id, paid)
		// Delivery is at least once: another one changes nothing.
		r.request("GET", "/api/pay/"+path+"?text=again&order="+id, "", "")
		r.log.await(t, id+", msg=Hello rocketmq = again")
		r.is(id, paid)
	}
}

func TestAPaymentThatFailsIsRetriedAndThenDead(t *testing.T) {
	t.Parallel()
	s, clock := withClock(settingsFor(t, t.TempDir(), "--retries", "1"))
	r := start(t, s)
	if dead := get[[]deadPayment](r, "/api/pay/dead"); len(dead) > 0 {
		t.Errorf("dead before anything: %v", dead)
	}
	id, sentAt := r.order(), clock.Now()
	_, _, body := r.request("GET", "/api/pay/pay_cb?text=fail&order="+id, "", "")
	var sent sendResult
	if err := json.Unmarshal([]byte(body), &sent); err != nil {
		t.Fatal(err)
	}
	r.log.await(t, "attempt=1.*retry 1 of 1 after about 10s")
	r.log.advance(t, clock, 10*time.Second, "attempt=2.*dead-letter queue %DLQ%pay_consumer_group")
	r.log.await(t, "payment is dead.*"+sent.MsgID)
	want := []deadPayment{{ID: sent.MsgID, Tag: "tag1", Keys: id, Body: "Hello rocketmq = fail", Deliveries: 2}}
	got := get[[]deadPayment](r, "/api/pay/dead")
	if len(got) == 1 {
		if died := got[0].Died; died.Before(sentAt.Add(10*time.Second-time.Millisecond)) || died.After(clock.Now()) {
			t.Errorf("died at %v", died)
		}
		got[0].Died = time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead payments (-want +got):\n%s", diff)
	}
	r.is(id, unpaid)
}

func TestBadInputIsAnsweredInJSON(t *testing.T) {
	t.Parallel()
	r := start(t, settingsFor(t, t.TempDir()))
	long := strings.Repeat("x", 4<<20)
	for name, tc := range map[string]struct {
		method, path, kind, body string
		status                   int
		says                     string
	}{
		"no text":                {"GET", "/api/pay/pay_cb", "", "", 400, "text is missing"},
		"no text, async":         {"GET", "/api/pay/async?tag=t", "", "", 400, "text is missing"},
		"no text, oneway":        {"GET", "/api/pay/oneway", "", "", 400, "text is missing"},
		"no text, delay":         {"GET", "/api/pay/delay", "", "", 400, "text is missing"},
		"tag with a bar":         {"GET", "/api/pay/pay_cb?text=x&tag=a%7C%7Cb", "", "", 400, `tag "a||b"`},
		"tag with a separator":   {"GET", "/api/pay/async?text=x&tag=a%02b", "", "", 400, `tag "a\x02b"`},
		"key with a space":       {"GET", "/api/pay/oneway?text=x&order=a+b", "", "", 400, `key "a b"`},
		"tag over all limits":    {"POST", "/api/pay/delay", form, "text=x&tag=" + strings.Repeat("t", 40_000), 400, "at most 32767"},
		"text over the limit":    {"POST", "/api/pay/pay_cb", form, "text=" + long, 413, "4194321 bytes, at most 4194304"},
		"form over the limit":    {"POST", "/api/pay/pay_cb", form, "text=" + strings.Repeat(long, 4), 413, "larger than 13631488 bytes"},
		"a broken query":         {"GET", "/api/pay/pay_cb?text=%zz", "", "", 400, "%zz"},
		"a broken form":          {"POST", "/api/pay/pay_cb", form, "text=%zz", 400, "%zz"},
		"a broken multipart":     {"POST", "/api/pay/pay_cb", "multipart/form-data; boundary=b", "text", 400, "multipart"},
		"unknown order":          {"GET", "/api/orders/4711", "", "", 404, `order "4711": no such order`},
		"order with a slash":     {"GET", "/api/orders/a/b", "", "", 404, "/api/orders/a/b"},
		"unknown path":           {"GET", "/api/pay/nothing", "", "", 404, "/api/pay/nothing"},
		"method of orders":       {"GET", "/api/orders", "", "", 404, "GET /api/orders in"},
		"method of an order":     {"POST", "/api/orders/1", "", "", 404, "POST /api/orders/1 in"},
		"method of dead letters": {"POST", "/api/pay/dead", "", "", 404, "POST /api/pay/dead in"},
	} {
		status, header, body := r.request(tc.method, tc.path, tc.kind, tc.body)
		var got failure
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != tc.status || !strings.Contains(got.Error, tc.says) || !got.SafeToRetry {
			t.Errorf("%s: %d %.300q: %v", name, status, body, err)
		}
		if kind := header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("%s: Content-Type %q", name, kind)
		}
	}
	if strings.Contains(r.log.String(), "keys=") {
		t.Errorf("something was sent:\n%s", r.log)
	}
}

func TestAPaymentOfAnUnknownOrderIsTold(t *testing.T) {
	t.Parallel()
	r := start(t, settingsFor(t, t.TempDir()))
	r.request(http.MethodGet, "/api/pay/pay_cb?text=x&order=nobody", "", "")
	r.log.await(t, `level=WARN msg="payment of an order that is not known here" order=nobody`)
}
