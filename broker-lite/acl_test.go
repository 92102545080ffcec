package brokerlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// rulesOfAnOrderService may send to orders and read them in one group.
const rulesOfAnOrderService = `
accounts:
  - {accessKey: administrator, secretKey: admin-secret, admin: true}
  - accessKey: order-service
    secretKey: order-secret
    topicPerms: ["orders=PUB|SUB", "journal=PUB"]
    groupPerms: [consumers=SUB]
`

func writeRules(t testing.TB, path, rules string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
}

// withRules is inBubble with a broker that has ACL. The client signs as admin.
func withRules(t *testing.T, rules string, f func(t *testing.T, b *Broker, admin *client, path string), opts ...Option) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plain_acl.yml")
	writeRules(t, path, rules)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, append([]Option{InMemory(), VirtualNetwork(NewNetwork()), ACLFile(path)}, opts...)...)
		f(t, b, dialAs(t, b, "administrator", "admin-secret"), path)
	})
}

// dialAs is a connection whose requests are signed.
func dialAs(t testing.TB, b *Broker, accessKey, secretKey string) *client {
	t.Helper()
	c := &client{t: t, b: b, addr: b.Addr(), signer: protocol.NewSigner(accessKey, secretKey, "")}
	c.connect()
	t.Cleanup(c.close)
	return c
}

// denied wants a request refused for a reason.
func (c *client) denied(why string, code protocol.Code, h protocol.Header, body []byte) {
	c.t.Helper()
	resp := c.call(code, h, body)
	if resp.Code != protocol.NoPermission || !strings.Contains(resp.Remark, why) {
		c.t.Errorf("%s: %s: %s, want NO_PERMISSION: %s", protocol.RequestName(code), protocol.ResponseName(resp.Code), resp.Remark, why)
	}
}

func TestOnlySignedRequestsOfAnAccountThatMayAreServed(t *testing.T) {
	withRules(t, rulesOfAnOrderService, func(t *testing.T, b *Broker, admin *client, _ string) {
		admin.createTopic("journal", 1)
		orders := dialAs(t, b, "order-service", "order-secret")
		for _, codec := range []protocol.Codec{protocol.JSON, protocol.Binary} {
			orders.codec = codec
			orders.send(sending("orders", protocol.PropKeys, "k1"), "taken")
		}
		if got := bodies(orders.messages("orders", 0)); len(got) != 2 {
			t.Errorf("read %v", got)
		}
		orders.heartbeat("c1", "producers", "consumers", subscription(t, "orders", "*"))

		h := sending("orders")
		dial(t, b).denied("No accessKey is configured", h.Code, h, []byte("unsigned"))
		dialAs(t, b, "order-service", "wrong-secret").denied("Check signature failed for accessKey=order-service", h.Code, h, []byte("x"))
		dialAs(t, b, "nobody-knows", "order-secret").denied("No acl config for nobody-knows", h.Code, h, []byte("x"))
		h = sending("payments")
		orders.denied("topic:payments", h.Code, h, []byte("x"))
		orders.send(sending("journal"), "written")
		orders.denied("topic:journal", protocol.PullMessage, pulling("journal", 0, "*"), nil)
		other := pulling("orders", 0, "*")
		other.ConsumerGroup = "others"
		orders.denied("group:others", protocol.PullMessage, other, nil)
		dial(t, b).denied("No accessKey is configured", 31999, nil, nil) // nor does it tell which codes it has

		if got := bodies(admin.messages("orders", 0)); len(got) != 2 {
			t.Errorf("what was refused is stored: %v", got)
		}
	})
}

func TestOnlyAdminsChangeTheBrokerAndTheLogNamesThem(t *testing.T) {
	l := new(logs)
	withRules(t, rulesOfAnOrderService, func(t *testing.T, b *Broker, admin *client, _ string) {
		orders := dialAs(t, b, "order-service", "order-secret")
		topic := &protocol.CreateTopicRequest{
			Topic: "made", DefaultTopic: protocol.DefaultTopic, ReadQueueNums: 1, WriteQueueNums: 1,
			Perm: protocol.PermRead | protocol.PermWrite, TopicFilterType: protocol.SingleTag,
		}
		orders.denied("Need admin permission", protocol.UpdateAndCreateTopic, topic, nil)
		orders.denied("Need admin permission", protocol.UpdateBrokerConfig, nil, []byte("maxMessageSize=1"))
		admin.ok(protocol.UpdateAndCreateTopic, topic, nil)
		if text := l.String(); strings.Count(text, "admin change") != 1 || !strings.Contains(text, "accessKey=administrator topic=made") {
			t.Errorf("the log: %s", text)
		}
		for _, code := range []protocol.Code{protocol.UpdateACLConfig, protocol.DeleteACLConfig, protocol.UpdateGlobalWhiteAddrs} {
			if resp := admin.call(code, nil, nil); resp.Code != protocol.CodeNotSupported {
				t.Errorf("code %d: %s", code, protocol.ResponseName(resp.Code))
			}
		}
	}, WithLogger(l.logger()))
}

func TestAMessageIsViewedByWhoMayReadItsTopic(t *testing.T) {
	withRules(t, rulesOfAnOrderService, func(t *testing.T, b *Broker, admin *client, _ string) {
		orders := dialAs(t, b, "order-service", "order-secret")
		for name, c := range map[string]struct {
			send *protocol.SendRequest
			why  string // "" when it may be viewed
		}{
			"its own":              {sending("orders"), ""},
			"one that it wrote":    {sending("journal"), "topic:journal"},
			"another's":            {sending("payments"), "topic:payments"},
			"its own, delayed":     {sending("orders", protocol.PropDelayLevel, "18"), ""},
			"another's, delayed":   {sending("payments", protocol.PropDelayLevel, "18"), "topic:payments"},
			"its group's, retried": {sending("%RETRY%consumers"), ""},
			"another group's":      {sending("%RETRY%others"), "group:others"},
		} {
			_, offset, err := protocol.ParseOffsetMessageID(admin.send(c.send, "x").MessageID)
			if err != nil {
				t.Fatal(err)
			}
			view := &protocol.ViewMessageRequest{Offset: offset}
			admin.ok(protocol.ViewMessageByID, view, nil)
			t.Log(name)
			if c.why == "" {
				orders.ok(protocol.ViewMessageByID, view, nil)
			} else {
				orders.denied(c.why, protocol.ViewMessageByID, view, nil)
			}
		}
	})
}

func TestWhiteListedAddressesNeedNoKey(t *testing.T) {
	withRules(t, "globalWhiteRemoteAddresses: [127.0.0.1]\naccounts: []\n", func(t *testing.T, b *Broker, _ *client, _ string) {
		c := dial(t, b)
		c.createTopic("orders", 1)
		msg := c.send(sending("orders"), "unsigned")
		_, offset, err := protocol.ParseOffsetMessageID(msg.MessageID)
		if err != nil {
			t.Fatal(err)
		}
		c.ok(protocol.ViewMessageByID, &protocol.ViewMessageRequest{Offset: offset}, nil)
	})
}

func TestARefusedOnewayRequestIsLoggedAndNotServed(t *testing.T) {
	l := new(logs)
	withRules(t, rulesOfAnOrderService, func(t *testing.T, b *Broker, admin *client, _ string) {
		c := dial(t, b)
		h := sending("orders")
		c.oneway(h.Code, h, []byte("unsigned"))
		synctest.Wait()
		if text := l.String(); !strings.Contains(text, "a oneway request failed") || !strings.Contains(text, "No accessKey is configured") {
			t.Errorf("the log: %s", text)
		}
		orders := dialAs(t, b, "order-service", "order-secret")
		orders.oneway(h.Code, h, []byte("signed"))
		synctest.Wait()
		if got := bodies(admin.messages("orders", 0)); len(got) != 1 || got[0] != "signed" {
			t.Errorf("stored %v", got)
		}
	}, WithLogger(l.logger()))
}

func TestRulesThatChangeComeIntoForceAndBadOnesDoNot(t *testing.T) {
	l := new(logs)
	withRules(t, rulesOfAnOrderService, func(t *testing.T, b *Broker, _ *client, path string) {
		orders, h := dialAs(t, b, "order-service", "order-secret"), sending("payments")
		orders.denied("topic:payments", h.Code, h, []byte("x"))
		writeRules(t, path, strings.Replace(rulesOfAnOrderService, "journal=PUB", "payments=PUB", 1))
		time.Sleep(2 * time.Second)
		orders.send(h, "may now")
		orders.denied("topic:journal", h.Code, sending("journal"), []byte("x"))
		writeRules(t, path, "accounts: nobody")
		time.Sleep(2 * time.Second)
		orders.send(h, "still may")
		if text := l.String(); !strings.Contains(text, "the old ones stay in force") {
			t.Errorf("the log: %s", text)
		}
		writeRules(t, path, "accounts: []")
		time.Sleep(2 * time.Second)
		orders.denied("No acl config for order-service", h.Code, h, []byte("x"))
	}, WithLogger(l.logger()))
}

// An intercepted request is served later on another goroutine, with no less a check.
func TestADelayedRequestIsCheckedToo(t *testing.T) {
	withRules(t, rulesOfAnOrderService, func(t *testing.T, b *Broker, admin *client, _ string) {
		defer b.Fault(Match{Code: 310}, Pass().After(time.Second))()
		h := sending("orders")
		dial(t, b).denied("No accessKey is configured", h.Code, h, []byte("x"))
		admin.send(h, "signed")
	})
}

func TestABrokerWhoseRulesCannotBeReadDoesNotStart(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad.yml")
	writeRules(t, bad, "accounts:\n  - {accessKey: short, secretKey: long-enough}\n")
	dir := t.TempDir()
	for name, c := range map[string]struct {
		opt  Option
		want string
	}{
		"missing": {Conf("aclEnable=true"), filepath.Join(dir, "config", "plain_acl.yml")},
		"bad":     {Conf("aclEnable=true\naclFile=" + bad), bad + `:2: account "short": the accessKey has 5 characters`},
	} {
		_, err := Start(t.Context(), Dir(dir), c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "aclEnable=true needs rules") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Name servers have no ACL, on Apache either.
func TestTheNameServerIsNotChecked(t *testing.T) {
	withRules(t, rulesOfAnOrderService, func(t *testing.T, b *Broker, admin *client, _ string) {
		admin.createTopic("orders", 1)
		cmd := protocol.Command{Code: protocol.GetRouteInfo, Version: protocol.VersionV5_4_0}
		c := dialAddr(t, b, b.NameServer())
		resp, err := c.conn.Call(remoting.WithTimeout(context.Background(), time.Minute), &cmd, &protocol.RouteRequest{Topic: "orders"})
		if err != nil || resp.Code != protocol.Success {
			t.Errorf("%v, %v", resp, err)
		}
	})
}
