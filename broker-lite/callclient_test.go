package brokerlite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// consumer is a client that answers the broker; what answer does not answer gets no
// answer.
func consumer(t testing.TB, b *Broker, id string, answer func(cmd *protocol.Command) (code protocol.Code, remark, body string, ok bool)) *client {
	t.Helper()
	c := &client{t: t, b: b, addr: b.Addr()}
	nc, err := b.Dial(t.Context(), "tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.conn = remoting.NewConn(nc, remoting.Options{Handler: func(conn *remoting.Conn, cmd *protocol.Command) {
		code, remark, body, ok := answer(cmd)
		if !ok {
			return
		}
		resp := cmd.Response(code, remark)
		if err := conn.Reply(&resp, nil, []byte(body)); err != nil {
			t.Error(err)
		}
	}})
	t.Cleanup(c.close)
	c.heartbeat(id, "", "consumers", subscription(t, "orders", "*"))
	return c
}

func TestWhatIsForTheClientGoesToItAndBack(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		sent := c.send(sending("orders"), "x")
		record := c.ok(protocol.ViewMessageByID, &protocol.ViewMessageRequest{Offset: physOf(t, sent.MessageID)}, nil).Body
		var mu sync.Mutex
		var asked []protocol.Command // guarded by mu
		consumer(t, b, "one", func(cmd *protocol.Command) (protocol.Code, string, string, bool) {
			kept := *cmd
			kept.Fields, kept.Body = slices.Clone(cmd.Fields), slices.Clone(cmd.Body)
			if cmd.Code == protocol.NotifyConsumersChanged {
				return 0, "", "", false
			}
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, kept)
			return 77, "a remark", `{"any":{{"thing":1}:2}}`, true
		})
		resp := c.call(protocol.GetClientRunningInfo, &protocol.RunningInfoRequest{ConsumerGroup: "consumers", ClientID: "one", Stacks: true}, nil)
		if resp.Code != 77 || resp.Remark != "a remark" || string(resp.Body) != `{"any":{{"thing":1}:2}}` {
			t.Errorf("%d %s %s", resp.Code, resp.Remark, resp.Body)
		}
		resp = c.call(protocol.ConsumeDirectly, &protocol.ConsumeDirectlyRequest{ConsumerGroup: "consumers", ClientID: "one", MessageID: sent.MessageID, Topic: "orders"}, nil)
		if resp.Code != 77 || string(resp.Body) != `{"any":{{"thing":1}:2}}` {
			t.Errorf("%d %s %s", resp.Code, resp.Remark, resp.Body)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		var got []string
		for _, cmd := range asked {
			var fields []string
			for _, f := range cmd.Fields {
				fields = append(fields, f.Key+"="+f.Value)
			}
			slices.Sort(fields)
			got = append(got, fmt.Sprint(cmd.Code, cmd.IsOneway(), fields, string(cmd.Body)))
		}
		want := []string{
			fmt.Sprint(protocol.GetClientRunningInfo, false, []string{"clientId=one", "consumerGroup=consumers", "jstackEnable=true"}, ""),
			fmt.Sprint(protocol.ConsumeDirectly, false, []string{"brokerName=broker-a", "clientId=one", "consumerGroup=consumers", "groupSysFlag=0", "msgId=" + sent.MessageID, "topic=orders", "topicSysFlag=0"}, string(record)),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for _, test := range []struct {
			code protocol.Code
			h    protocol.Header
			want string
		}{
			{protocol.GetClientRunningInfo, &protocol.RunningInfoRequest{ConsumerGroup: "consumers", ClientID: "two"}, "SYSTEM_ERROR: The Consumer <consumers> <two> not online"},
			{protocol.ConsumeDirectly, &protocol.ConsumeDirectlyRequest{ConsumerGroup: "none", ClientID: "one", MessageID: sent.MessageID}, "SYSTEM_ERROR: The Consumer <none> <one> not online"},
			{protocol.ConsumeDirectly, &protocol.ConsumeDirectlyRequest{ConsumerGroup: "consumers", ClientID: "one", MessageID: "x"}, "SYSTEM_ERROR: "},
			{protocol.ConsumeDirectly, &protocol.ConsumeDirectlyRequest{ConsumerGroup: "consumers", ClientID: "one", MessageID: "7F00000100002A9F0000000000000FFF"}, "SYSTEM_ERROR: can not find message by the offset, "},
		} {
			if got := answered(c.call(test.code, test.h, nil)); !strings.HasPrefix(got, test.want) {
				t.Errorf("%s, want %s", got, test.want)
			}
		}
	})
}

func physOf(t testing.TB, id string) int64 {
	t.Helper()
	_, phys, err := protocol.ParseOffsetMessageID(id)
	if err != nil {
		t.Fatal(err)
	}
	return phys
}

func TestAClientThatDoesNotAnswerHoldsUpNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		gone := consumer(t, b, "gone", func(*protocol.Command) (protocol.Code, string, string, bool) { return 0, "", "", false })
		h := &protocol.RunningInfoRequest{ConsumerGroup: "consumers", ClientID: "gone"}
		begun := time.Now()
		answers := make(chan string, 1)
		go func() { answers <- answered(c.call(protocol.GetClientRunningInfo, h, nil)) }()
		synctest.Wait()
		c.ok(protocol.GetBrokerRuntimeInfo, nil, nil) // on the same connection
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("the connection was blocked for %s", waited)
		}
		if got := <-answers; !strings.HasPrefix(got, "CONSUME_MSG_TIMEOUT: consumer <consumers> <gone> Timeout: ") || time.Since(begun) != 10*time.Second {
			t.Errorf("%s after %s", got, time.Since(begun))
		}
		go func() { answers <- answered(c.call(protocol.GetClientRunningInfo, h, nil)) }()
		synctest.Wait()
		begun = time.Now()
		gone.close()
		if got := <-answers; !strings.HasPrefix(got, "SYSTEM_ERROR: invoke consumer <consumers> <gone> Exception: ") || time.Since(begun) != 0 {
			t.Errorf("%s after %s", got, time.Since(begun))
		}
	})
}

func TestQuestionsOfOneConnectionAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		asked := make(chan struct{}, 1000)
		consumer(t, b, "gone", func(cmd *protocol.Command) (protocol.Code, string, string, bool) {
			if cmd.Code == protocol.GetClientRunningInfo {
				asked <- struct{}{}
			}
			return 0, "", "", false
		})
		ctx, cancel := context.WithCancel(t.Context())
		for range 500 {
			go func() {
				if _, err := c.try(ctx, protocol.GetClientRunningInfo, &protocol.RunningInfoRequest{ConsumerGroup: "consumers", ClientID: "gone"}, nil); ctx.Err() == nil {
					t.Error("answered", err)
				}
			}()
		}
		synctest.Wait()
		if n := len(asked); n == 0 || n > 150 {
			t.Errorf("%d of 500 questions are under way at once", n)
		}
		cancel()
		c.close()
	})
}

func TestMembersSayHowFarTheyAre(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		table := func(q int, offset int64) string {
			return fmt.Sprintf(`{{"brokerName":"broker-a","queueId":%d,"topic":"orders"}:%d}`, q, offset)
		}
		says := func(code protocol.Code, body string) func(*protocol.Command) (protocol.Code, string, string, bool) {
			return func(cmd *protocol.Command) (protocol.Code, string, string, bool) {
				if cmd.Code != protocol.GetClientStatus {
					return 0, "", "", false
				}
				if cmd.Fields.Value("group") != "consumers" || cmd.Fields.Value("topic") != "orders" {
					t.Errorf("asked with %v", cmd.Fields)
				}
				return code, "", body, true
			}
		}
		consumer(t, b, "one", says(protocol.Success, `{"consumerTable":{},"messageQueueTable":`+table(0, 5)+`}`))
		consumer(t, b, "two", says(protocol.Success, `{"messageQueueTable":`+table(1, 7)+`}`))
		consumer(t, b, "ill", says(protocol.Success, `nonsense`))
		consumer(t, b, "bad", says(protocol.SystemError, ``))
		ask := func(group, id string) string {
			t.Helper()
			return answered(c.call(protocol.GetConsumerStatus, &protocol.GroupTopicRequest{Group: group, Topic: "orders", ClientAddr: id}, nil))
		}
		for _, test := range []struct{ got, want string }{
			{ask("consumers", ""), `{"consumerTable":{"one":` + table(0, 5) + `,"two":` + table(1, 7) + `},"messageQueueTable":{}}`},
			{ask("consumers", "two"), `{"consumerTable":{"two":` + table(1, 7) + `},"messageQueueTable":{}}`},
			{ask("consumers", "none"), `{"consumerTable":{},"messageQueueTable":{}}`},
			{ask("none", ""), "SYSTEM_ERROR: No Any Consumer online in the consumer group: [none]"},
		} {
			if test.got != test.want {
				t.Errorf("%s, want\n%s", test.got, test.want)
			}
		}
	})
}

func TestToolsSeeAConsumeQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 2)
		var phys []int64
		for i := range 3 {
			phys = append(phys, physOf(t, c.send(sending("orders", "TAGS", "a"), fmt.Sprint(i)).MessageID))
		}
		c.heartbeat("me", "", "consumers", subscription(t, "orders", "a"))
		query := func(h protocol.ConsumeQueueRequest) string {
			t.Helper()
			return answered(c.call(protocol.QueryConsumeQueue, &h, nil))
		}
		entry := func(i int) string {
			return fmt.Sprintf(`{"eval":false,"physicOffset":%d,"physicSize":%d,"tagsCode":97}`, phys[i], phys[1]-phys[0])
		}
		for _, test := range []struct {
			h    protocol.ConsumeQueueRequest
			want string
		}{
			{protocol.ConsumeQueueRequest{Topic: "orders", Count: 2}, `{"maxQueueIndex":3,"minQueueIndex":0,"queueData":[` + entry(0) + "," + entry(1) + `]}`},
			{protocol.ConsumeQueueRequest{Topic: "orders", Index: 2, Count: 1 << 30}, `{"maxQueueIndex":3,"minQueueIndex":0,"queueData":[` + entry(2) + `]}`},
			{protocol.ConsumeQueueRequest{Topic: "orders", Count: -1}, `{"maxQueueIndex":3,"minQueueIndex":0}`},
			{protocol.ConsumeQueueRequest{Topic: "orders", ConsumerGroup: "none"}, `{"filterData":"none@orders is not online!","maxQueueIndex":3,"minQueueIndex":0}`},
			{protocol.ConsumeQueueRequest{Topic: "orders", ConsumerGroup: "consumers"}, `{"filterData":"null","maxQueueIndex":3,"minQueueIndex":0,"subscriptionData":` +
				`{"classFilterMode":false,"codeSet":[97],"expressionType":"TAG","subString":"a","subVersion":1,"tagsSet":["a"],"topic":"orders"}}`},
			{protocol.ConsumeQueueRequest{Topic: "orders", Index: 3, Count: 1}, "SUCCESS: Index 3 of 0@orders is not exist!"},
			{protocol.ConsumeQueueRequest{Topic: "orders", QueueID: 9, Count: 1}, "SYSTEM_ERROR: 9@orders is not exist!"},
			{protocol.ConsumeQueueRequest{Topic: "none", Count: 1}, "SYSTEM_ERROR: 0@none is not exist!"},
		} {
			if got := query(test.h); got != test.want {
				t.Errorf("%+v:\n%s, want\n%s", test.h, got, test.want)
			}
		}
	})
}

func TestAHalfMessageThatWasGivenUpIsCheckedAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.heartbeat("me", "producers", "")
		sent := c.half("orders", "x")
		for range 4 {
			time.Sleep(30 * time.Second)
			c.heartbeat("me", "producers", "")
		}
		given := c.messages("TRANS_CHECK_MAX_TIME_TOPIC", 0)
		asked := len(c.checks())
		if len(given) != 1 || asked != 2 {
			t.Fatalf("%d messages were given up after %d checks", len(given), asked)
		}
		resume := func(id string) string {
			t.Helper()
			return answered(c.call(protocol.ResumeCheckHalfMessage, &protocol.ResumeCheckRequest{MessageID: id}, nil))
		}
		id := protocol.OffsetMessageID(given[0].StoreHost, given[0].PhysicalOffset)
		if got := resume(id); got != "" {
			t.Fatal(got)
		}
		time.Sleep(30 * time.Second)
		checks := c.checks()
		if len(checks) <= asked {
			t.Fatal("it is not checked again")
		}
		last := checks[len(checks)-1]
		end := ending(t, sent, protocol.SysCommit)
		end.TranStateTableOffset, end.CommitLogOffset = last.TranStateTableOffset, last.CommitLogOffset
		c.ok(protocol.EndTransaction, end, nil)
		if got := bodies(c.messages("orders", last.record.QueueID)); len(got) != 1 || got[0] != "x" {
			t.Errorf("committed: %q", got)
		}
		for _, bad := range []string{sent.MessageID, strings.Repeat("7F", 16), "x"} {
			if got := resume(bad); !strings.HasPrefix(got, "SYSTEM_ERROR: Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.") {
				t.Errorf("%s: %s", bad, got)
			}
		}
	}, Conf("transactionCheckMax=2\ntransactionCheckInterval=20000\n"))
}
