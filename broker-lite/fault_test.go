package brokerlite

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// outcome of a send, as far as a test of faults looks at it.
func (c *client) trySend(topic, body string, timeout time.Duration) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if errors.Is(c.conn.Err(), remoting.ErrClosed) {
		c.connect()
	}
	h := sending(topic)
	resp, err := c.try(ctx, h.Code, h, []byte(body))
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	case errors.Is(err, remoting.ErrClosed):
		return "closed"
	case err != nil:
		return err.Error()
	}
	return strings.TrimSuffix(protocol.ResponseName(resp.Code)+" "+resp.Remark, " ")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		match  Match
		r      Reaction
		want   []string // of three sends
		stored []string
	}{
		{"answered", Match{Code: 310}, Answer(2, "busy").Times(2), []string{"SYSTEM_BUSY busy", "SYSTEM_BUSY busy", "SUCCESS"}, []string{"3"}},
		{"answered for good", Match{Code: 10}, Answer(14, "gone"), []string{"SERVICE_NOT_AVAILABLE gone", "SERVICE_NOT_AVAILABLE gone", "SERVICE_NOT_AVAILABLE gone"}, []string{}},
		{"another answer", Match{Code: 310}, ReplaceAnswer(10).Times(1), []string{"FLUSH_DISK_TIMEOUT", "SUCCESS", "SUCCESS"}, []string{"1", "2", "3"}},
		{"dropped", Match{Code: 310}, DropRequest().Times(1), []string{"no answer", "SUCCESS", "SUCCESS"}, []string{"2", "3"}},
		{"answer dropped", Match{Code: 310}, DropAnswer().Times(1), []string{"no answer", "SUCCESS", "SUCCESS"}, []string{"1", "2", "3"}},
		{"connection closed", Match{Code: 310}, CloseConnection().Times(1), []string{"closed", "SUCCESS", "SUCCESS"}, []string{"2", "3"}},
		{"slow", Match{Code: 310}, Pass().After(2 * time.Second).Times(1), []string{"SUCCESS", "SUCCESS", "SUCCESS"}, []string{"1", "2", "3"}},
		{"too slow", Match{Code: 310}, Pass().After(20 * time.Second).Times(1), []string{"no answer", "SUCCESS", "SUCCESS"}, []string{"2", "3", "1"}},
		{"by topic", Match{Topic: "orders"}, Answer(1, "x").Times(1), []string{"SYSTEM_ERROR x", "SUCCESS", "SUCCESS"}, []string{"2", "3"}},
		{"another topic", Match{Topic: "others"}, Answer(1, "x"), []string{"SUCCESS", "SUCCESS", "SUCCESS"}, []string{"1", "2", "3"}},
		{"by group", Match{Group: "producers"}, Answer(1, "x").Times(1), []string{"SYSTEM_ERROR x", "SUCCESS", "SUCCESS"}, []string{"2", "3"}},
		{"another code", Match{Code: 11}, Answer(1, "x").Times(1), []string{"SUCCESS", "SUCCESS", "SUCCESS"}, nil},
		{"the name server's", Match{NameServer: true}, Answer(1, "x"), []string{"SUCCESS", "SUCCESS", "SUCCESS"}, []string{"1", "2", "3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *Broker, c *client) {
				c.createTopic("orders", 1)
				stop := b.Fault(test.match, test.r)
				var got []string
				for _, body := range []string{"1", "2", "3"} {
					got = append(got, c.trySend("orders", body, 10*time.Second))
				}
				time.Sleep(20 * time.Second)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("answers (-want +got):\n%s", diff)
				}
				stop()
				stop()
				if test.stored == nil {
					return
				}
				if diff := cmp.Diff(test.stored, bodies(c.messages("orders", 0))); diff != "" {
					t.Errorf("stored (-want +got):\n%s", diff)
				}
				if got := c.trySend("orders", "after", time.Second); got != "SUCCESS" {
					t.Errorf("after stop: %s", got)
				}
			})
		})
	}
}

func TestFaultsOfTheNameServer(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		ns := dialAddr(t, b, b.NameServer())
		stop := b.Fault(Match{NameServer: true, Code: 105, Topic: "orders"}, ReplaceAnswer(17))
		if resp := ns.call(protocol.GetRouteInfo, &protocol.RouteRequest{Topic: "orders"}, nil); resp.Code != protocol.TopicNotExist {
			t.Errorf("%s", protocol.ResponseName(resp.Code))
		}
		stop()
		b.Fault(Match{NameServer: true, Code: 105}, Pass().After(time.Second))
		begun := time.Now()
		if ns.ok(protocol.GetRouteInfo, &protocol.RouteRequest{Topic: "orders"}, nil); time.Since(begun) != time.Second {
			t.Errorf("after %v", time.Since(begun))
		}
	})
}

func TestInterceptSeesEveryRequest(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		var sends, others atomic.Int32
		stop := b.Intercept(func(r Request) (Reaction, bool) {
			if r.Name == "SEND_MESSAGE_V2" && r.Topic == "orders" && r.Group == "producers" && r.Client.String() == c.conn.LocalAddr().String() && len(r.Body) == 1 {
				sends.Add(1)
			} else {
				others.Add(1)
			}
			return Reaction{}, false
		})
		stopFault := b.Fault(Match{Code: 36, Group: "consumers"}, Answer(1, "refused"))
		c.send(sending("orders"), "x")
		c.oneway(protocol.SendMessageV2, sending("orders"), []byte("y"))
		synctest.Wait()
		if resp := c.call(protocol.SendMessageBack, back(c.messages("orders", 0)[0], 1), nil); resp.Remark != "refused" {
			t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
		if sends.Load() != 2 || others.Load() == 0 {
			t.Errorf("%d sends, %d others", sends.Load(), others.Load())
		}
		stop()
		stopFault()
		c.send(sending("orders"), "z")
		if sends.Load() != 2 {
			t.Error("asked after it was stopped")
		}
	})
}

func TestAParkedPullCanLoseItsAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		b.Fault(Match{Code: 11}, ReplaceAnswer(1).Times(1))
		w := c.startPull(suspending("orders", 0, "*", 5*time.Second))
		if p := w.wait(); p.code != protocol.SystemError || w.after != 5*time.Second {
			t.Errorf("%s after %v", protocol.ResponseName(p.code), w.after)
		}
	})
}

func TestCloseEndsReactionsThatAreStillToCome(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		b.Fault(Match{Code: 310}, Pass().After(time.Hour))
		c.oneway(protocol.SendMessageV2, sending("orders"), []byte("x"))
		synctest.Wait()
		begun := time.Now()
		stop(t, b)
		if d := time.Since(begun); d > time.Second {
			t.Errorf("closing took %v", d)
		}
	})
}
