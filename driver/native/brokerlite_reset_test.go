package native_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// ask asks the broker as a tool does.
func (s *server) ask(code protocol.Code, h protocol.Header) *protocol.Command {
	s.t.Helper()
	nc, err := s.net.Dial(s.t.Context(), "tcp", s.b.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	conn := remoting.NewConn(nc, remoting.Options{})
	defer func() {
		if err := conn.Close(); err != nil {
			s.t.Error(err)
		}
		<-conn.Done()
	}()
	cmd := protocol.Command{Code: code, Language: protocol.LanguageJava, Version: protocol.VersionV5_4_0}
	resp, err := conn.Call(s.t.Context(), &cmd, h)
	if err != nil || resp.Code != protocol.Success {
		s.t.Fatalf("%s: %+v, %v", protocol.RequestName(code), resp, err)
	}
	return resp
}

func (s *server) committed(group, topic string) string {
	s.t.Helper()
	return s.ask(protocol.QueryConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: group, Topic: topic}).Fields.Value("offset")
}

// An administrator moves a group back while its handler is busy with the fourth
// message: the second and third come again, and nothing that was done before the
// reset moves the offset on.
func TestAResetGroupGoesOnWhereItWasSent(t *testing.T) {
	for name, conf := range map[string]string{"by the next pull": "", "by code 220": "useServerSideResetOffset=false\n"} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(t *testing.T, s *server) {
				s.ask(protocol.UpdateAndCreateTopic, &protocol.CreateTopicRequest{
					Topic: "orders", DefaultTopic: "TBW102", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6, TopicFilterType: protocol.SingleTag,
				})
				snd := s.sender(driver.SenderConfig{})
				var ids []string
				for i := range 4 {
					r, err := s.send(snd, 0, message.New("orders", fmt.Append(nil, i)))
					if err != nil {
						t.Fatal(err)
					}
					ids = append(ids, r.OffsetMessageID)
					pass(time.Second)
				}
				m := &slowMember{}
				sub, err := s.open().NewSubscription(driver.SubscriptionConfig{Group: "group", From: driver.FromFirst, Topics: []driver.TopicFilter{{Topic: "orders"}}}, m)
				if err != nil {
					t.Fatal(err)
				}
				if err := sub.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := sub.Stop(context.Background()); err != nil {
						t.Error(err)
					}
				})
				pass(10 * time.Second)
				if got := s.committed("group", "orders"); len(m.out) != 4 || got != "3" {
					t.Fatalf("%d messages are out, the offset is %s; want 4 and 3", len(m.out), got)
				}
				_, phys, err := protocol.ParseOffsetMessageID(ids[1])
				if err != nil {
					t.Fatal(err)
				}
				var second protocol.Record
				if _, err := protocol.DecodeRecord(s.ask(protocol.ViewMessageByID, &protocol.ViewMessageRequest{Offset: phys}).Body, &second); err != nil {
					t.Fatal(err)
				}
				m.hold = true
				s.ask(protocol.ResetOffset, &protocol.ResetOffsetRequest{Group: "group", Topic: "orders", QueueID: -1, Timestamp: second.StoreTimestamp, Force: true})
				pass(time.Second)
				late := m.out[3]
				late.settler.Settle(late.d, driver.Verdict{Action: driver.ActionAck}) // of before the reset
				pass(10 * time.Second)
				var again []string
				for _, o := range m.out[4:] {
					again = append(again, string(o.d.Body))
				}
				if got := s.committed("group", "orders"); strings.Join(again, "") != "123" || got != "1" || late.ctx.Err() == nil {
					t.Errorf("%q came again, the offset is %s, the old handler's ctx is %v; want 123 and 1", again, got, late.ctx.Err())
				}
				for _, o := range m.out[4:] {
					o.settler.Settle(o.d, driver.Verdict{Action: driver.ActionAck})
				}
				pass(10 * time.Second)
				if got := s.committed("group", "orders"); got != "4" {
					t.Errorf("the offset is %s after all", got)
				}
			}, brokerlite.Conf(conf))
		})
	}
}

// slowMember acknowledges all but the last message of four, and nothing while it
// holds. It is used in a bubble, between whose steps nothing runs.
type slowMember struct {
	hold bool
	out  []held
}

type held struct {
	ctx     context.Context
	settler driver.Settler
	d       *message.Delivery
}

func (m *slowMember) Deliver(ctx context.Context, s driver.Settler, ds []*message.Delivery) {
	for _, d := range ds {
		m.out = append(m.out, held{ctx, s, d})
		if !m.hold && string(d.Body) != "3" {
			s.Settle(d, driver.Verdict{Action: driver.ActionAck})
		}
	}
}
