package brokerlite

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestHostileBytesEndTheirConnectionOnly(t *testing.T) {
	t.Parallel()
	frame := func(size, header uint32, rest string) []byte {
		b := binary.BigEndian.AppendUint32(nil, size)
		return append(binary.BigEndian.AppendUint32(b, header), rest...)
	}
	for _, test := range []struct {
		name  string
		bytes []byte
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		{"TLS", []byte{0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3}},
		{"length of 2 GiB", frame(0x7fffffff, 0, "")},
		{"negative length", frame(0xffffffff, 0, "")},
		{"length of nothing", frame(0, 0, "")},
		{"header beyond the frame", frame(10, 5000, "xxxxxx")},
		{"unknown codec", frame(8, 7<<24|4, "xxxx")},
		{"JSON that is none", frame(8, 4, "{{{{")},
		{"binary that is none", frame(8, 1<<24|4, "xxxx")},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l logs
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				for _, addr := range []string{b.Addr(), b.NameServer()} {
					nc, err := b.Dial(t.Context(), "tcp", addr)
					if err != nil {
						t.Fatal(err)
					}
					defer nc.Close()
					if _, err := nc.Write(test.bytes); err != nil {
						t.Fatal(err)
					}
					if err := nc.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
						t.Fatal(err)
					}
					if n, err := nc.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
						t.Errorf("read %d bytes, %v", n, err)
					}
				}
				if !strings.Contains(l.String(), "closing a connection") {
					t.Errorf("no reason is logged: %s", l.String())
				}
				c.send(sending("orders"), "still served")
			}, WithLogger(l.logger()))
		})
	}
}

func TestATruncatedFrameIsDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		nc, err := b.Dial(t.Context(), "tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		cmd := protocol.Command{Code: protocol.SendMessageV2}
		frame, err := protocol.AppendFrame(nil, &cmd, sending("orders"), []byte("half"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write(frame[:len(frame)-2]); err != nil {
			t.Fatal(err)
		}
		if err := nc.Close(); err != nil {
			t.Fatal(err)
		}
		c.createTopic("orders", 1)
		if n := len(c.messages("orders", 0)); n != 0 {
			t.Errorf("%d messages", n)
		}
	})
}

// FuzzHandle sends any fields and body with any code; the broker must go on
// serving, and no handler panic.
func FuzzHandle(f *testing.F) {
	add := func(code protocol.Code, h protocol.Header, body string) {
		frame, err := protocol.AppendFrame(nil, &protocol.Command{Code: code}, h)
		if err != nil {
			f.Fatal(err)
		}
		var cmd protocol.Command
		if err := protocol.DecodeFrame(frame, &cmd); err != nil {
			f.Fatal(err)
		}
		var fields []string
		for _, field := range cmd.Fields {
			fields = append(fields, field.Key, field.Value)
		}
		f.Add(int32(code), strings.Join(fields, "\n"), []byte(body))
	}
	add(protocol.SendMessageV2, sending("orders", "DELAY", "1", "TIMER_DELAY_SEC", "1"), "x")
	add(protocol.SendMessage, &protocol.SendRequest{Code: protocol.SendMessage, Topic: "%RETRY%g", Properties: properties("TRAN_MSG", "true")}, "x")
	batch, err := protocol.AppendBatchEntry(nil, &protocol.BatchEntry{Body: []byte("b"), Properties: properties("TAGS", "t")})
	if err != nil {
		f.Fatal(err)
	}
	h := sending("orders")
	h.Batch = true
	add(protocol.SendBatchMessage, h, string(batch))
	add(protocol.PullMessage, suspending("orders", 0, "a || b", time.Second), "")
	add(protocol.SendMessageBack, &protocol.SendBackRequest{Group: "g", MaxReconsumeTimes: protocol.SomeInt32(3)}, "")
	add(protocol.EndTransaction, &protocol.EndTransactionRequest{ProducerGroup: "g", CommitOrRollback: 8}, "")
	add(protocol.Heartbeat, nil, `{"clientID":"c","consumerDataSet":[{"groupName":"g","subscriptionDataSet":[{"topic":"t","subString":"*"}]}]}`)
	add(protocol.UpdateAndCreateTopic, &protocol.CreateTopicRequest{Topic: "t", DefaultTopic: "t", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6, TopicFilterType: protocol.SingleTag}, "")
	add(protocol.UpdateConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.UpdateConsumerOffset, ConsumerGroup: "g", Topic: "t"}, "")
	add(protocol.SearchOffsetByTime, &protocol.OffsetRequest{Code: protocol.SearchOffsetByTime, Topic: "t"}, "")
	add(protocol.ViewMessageByID, &protocol.ViewMessageRequest{}, "")
	add(protocol.QueryMessage, query("orders", "k"), "")
	add(protocol.GetBrokerRuntimeInfo, nil, "")
	add(protocol.PopMessage, popping("orders"), "")
	add(protocol.PopMessage, orderly("orders", "attempt"), "")
	receipt := protocol.PopReceipt{Retry: "0", BrokerName: "broker-a"}
	add(protocol.AckMessage, acking("orders", receipt), "")
	add(protocol.ChangeInvisibleTime, &protocol.ChangeInvisibleRequest{AckRequest: *acking("orders", receipt), InvisibleTime: 1}, "")
	add(protocol.BatchAckMessage, nil, `{"acks":[{"b":"BQE=","c":"group","pt":1,"r":"0","t":"orders"}]}`)
	add(protocol.PeekMessage, &protocol.PeekRequest{Code: protocol.PeekMessage, ConsumerGroup: "group", Topic: "orders", QueueID: -1}, "")
	add(protocol.Notification, &protocol.NotificationRequest{ConsumerGroup: "group", Topic: "orders", QueueID: -1, PollTime: 5}, "")
	add(protocol.QueryAssignment, nil, `{"clientId":"c","consumerGroup":"g","messageModel":"CLUSTERING","strategyName":"AVG","topic":"orders"}`)
	add(protocol.SetMessageRequestMode, nil, `{"consumerGroup":"g","mode":"POP","popShareQueueNum":1,"topic":"orders"}`)
	add(protocol.RecallMessage, &protocol.RecallRequest{Topic: "orders", Handle: (&protocol.RecallHandle{Topic: "orders", BrokerName: "broker-a", Timestamp: "99999999999999", UniqueKey: "k"}).String()}, "")
	add(protocol.GetTopicStats, &protocol.TopicRequest{Topic: "orders"}, "")

	b := start(f, InMemory(), VirtualNetwork(NewNetwork()), Conf("maxMessageSize=65536"))
	dial(f, b).send(sending("orders"), "first")
	f.Fuzz(func(t *testing.T, code int32, text string, body []byte) {
		request := protocol.Command{Code: protocol.Code(code), Version: protocol.VersionV5_4_0}
		for words := strings.Split(text, "\n"); len(words) > 1; words = words[2:] {
			request.Fields = append(request.Fields, protocol.Field{Key: words[0], Value: words[1]})
		}
		c := dial(t, b)
		answered := make(chan *protocol.Command, 1)
		go func() {
			resp, err := c.conn.Call(t.Context(), &request, nil, body)
			if err != nil {
				resp = nil
			}
			answered <- resp
		}()
		if resp := dial(t, b).ok(protocol.GetMaxOffset, &protocol.OffsetRequest{Code: protocol.GetMaxOffset, Topic: "orders"}, nil); resp.Fields.Value("offset") == "0" {
			t.Error("the broker has lost a message")
		}
		c.close()
		if resp := <-answered; resp != nil && strings.Contains(resp.Remark, "panic") {
			t.Errorf("%s: %s", protocol.RequestName(request.Code), resp.Remark)
		}
	})
}
