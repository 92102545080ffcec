package brokerlite

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestGroupsAreMadeChangedAndDeletedByHand(t *testing.T) {
	var log logs
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "m")
		type config struct {
			GroupName     string
			ConsumeEnable bool
			RetryMaxTimes int32
			Wide          int32 `json:"retryQueueNums"`
		}
		group := func(name string) (v config) {
			t.Helper()
			if err := protocol.DecodeBody(c.ok(protocol.GetGroupConfig, fields{"group": name}, nil).Body, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
		c.refused(protocol.GetGroupConfig, fields{"group": "by-hand"}, "", protocol.GroupNotExist, "No group in this broker")
		c.refused(protocol.UpdateGroup, nil, `{"groupName":"a b"}`, protocol.InvalidParameter, "The specified group: a b, contains illegal characters")
		c.refused(protocol.UpdateGroup, nil, `{"groupName":"x","attributes":{"+priority.factor":"1"}}`, protocol.SystemError, "no attributes of groups")
		c.ok(protocol.UpdateGroup, nil, []byte(`{"groupName":"by-hand","retryMaxTimes":3}`))
		if diff := cmp.Diff(config{"by-hand", true, 3, 1}, group("by-hand")); diff != "" {
			t.Errorf("the group (-want +got)\n%s", diff)
		}
		h := pulling("orders", 0, "*")
		h.ConsumerGroup = "by-hand"
		if p := c.pull(h); p.code != protocol.Success {
			t.Errorf("a pull is answered with %s: %s", protocol.ResponseName(p.code), p.remark)
		}
		c.refused(protocol.UpdateGroupList, nil, `{"groupConfigList":[{"groupName":"by-hand","consumeEnable":false},{"groupName":"no good"}]}`, protocol.InvalidParameter, "no good")
		if !group("by-hand").ConsumeEnable {
			t.Error("a list with a wrong name has changed a group")
		}
		c.ok(protocol.UpdateGroupList, nil, []byte(`{"groupConfigList":[{"groupName":"by-hand","consumeEnable":false},{"groupName":"other"}]}`))
		if p := c.pull(h); p.code != protocol.NoPermission {
			t.Errorf("the pull of a group that must not is answered with %s: %s", protocol.ResponseName(p.code), p.remark)
		}
		var all struct {
			Groups map[string]config `json:"subscriptionGroupTable"`
		}
		if err := protocol.DecodeBody(c.ok(protocol.GetAllGroups, nil, nil).Body, &all); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(config{"other", true, 16, 1}, all.Groups["other"]); diff != "" || all.Groups["TOOLS_CONSUMER"].GroupName == "" {
			t.Errorf("the groups are %v; one of them (-want +got)\n%s", all.Groups, diff)
		}
		commit := &protocol.ConsumerOffsetRequest{Code: protocol.UpdateConsumerOffset, ConsumerGroup: "other", Topic: "orders", CommitOffset: 1}
		c.ok(protocol.UpdateConsumerOffset, commit, nil)
		if got := string(c.ok(protocol.GetAllConsumerOffset, nil, nil).Body); !strings.Contains(got, `"orders@other":{0:1}`) {
			t.Errorf("the offsets are %s", got)
		}
		query := &protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: "other", Topic: "orders", SetZeroIfNotFound: protocol.SomeBool(false)}
		c.ok(protocol.DeleteGroup, fields{"groupName": "other"}, nil)
		c.ok(protocol.QueryConsumerOffset, query, nil)
		c.ok(protocol.DeleteGroup, fields{"groupName": "other", "cleanOffset": "true"}, nil)
		c.refused(protocol.QueryConsumerOffset, query, "", protocol.QueryNotFound, "")
		c.refused(protocol.GetGroupConfig, fields{"group": "other"}, "", protocol.GroupNotExist, "")
		if got := string(c.ok(protocol.GetAllDelayOffset, nil, nil).Body); !strings.HasPrefix(got, `{"offsetTable":{"1":0,`) {
			t.Errorf("the delay levels' offsets are %s", got)
		}
		if n := strings.Count(log.String(), `msg="admin change" request=`); n != 6 { // a topic, three groups, two deletions
			t.Errorf("the log tells of %d changes:\n%s", n, log.String())
		}
	}, Conf("autoCreateSubscriptionGroup=false"), WithLogger(log.logger()))
}

func TestAGroupCanBeForbiddenToReadATopic(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "m")
		c.heartbeat("c1", "", "consumers", subscription(t, "orders", "*"))
		look := fields{"group": "consumers", "topic": "orders"}
		change := func(readable string) string {
			return string(c.ok(protocol.UpdateGroupForbidden, fields{"group": "consumers", "topic": "orders", "readable": readable}, nil).Body)
		}
		if got := change("false"); got != `{"group":"consumers","readable":false,"topic":"orders"}` {
			t.Errorf("the answer is %s", got)
		}
		if p := c.pull(pulling("orders", 0, "*")); p.code != protocol.NoPermission || p.remark != "the consumer group[consumers] is forbidden for topic[orders]" {
			t.Errorf("a pull is answered with %s: %s", protocol.ResponseName(p.code), p.remark)
		}
		if got := string(c.ok(protocol.UpdateGroupForbidden, look, nil).Body); !strings.Contains(got, `"readable":false`) {
			t.Errorf("asked again it is %s", got)
		}
		if got := string(c.ok(protocol.GetAllGroups, nil, nil).Body); !strings.Contains(got, `"forbiddenTable":{"consumers":{"orders":4}}`) {
			t.Errorf("the groups are %s", got)
		}
		change("true")
		if got := bodies(c.pull(pulling("orders", 0, "*")).records); !slices.Equal(got, []string{"m"}) {
			t.Errorf("after that the group reads %q", got)
		}
		c.refused(protocol.UpdateGroupForbidden, fields{"group": "consumers", "topic": "none", "readable": "false"}, "", protocol.TopicNotExist, "none")
		c.refused(protocol.UpdateGroupForbidden, fields{"group": "none", "topic": "orders", "readable": "false"}, "", protocol.GroupNotExist, "none")
		c.refused(protocol.UpdateGroupForbidden, fields{"group": "consumers", "topic": "orders", "readable": "x"}, "", protocol.InvalidParameter, "want true or false")
	})
}

// On Apache, too, the heartbeat of such a group succeeds and enters nobody (5.x).
func TestWithoutAutoCreateAGroupHasToBeMade(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.createTopic("orders", 1)
		c.heartbeat("c1", "", "consumers", subscription(t, "orders", "*"))
		c.refused(protocol.GetConsumerList, &protocol.ConsumerListRequest{ConsumerGroup: "consumers"}, "", protocol.SystemError, "no consumer for this group")
		if p := c.pull(pulling("orders", 0, "*")); p.code != protocol.GroupNotExist || !strings.HasPrefix(p.remark, "subscription group [consumers] does not exist") {
			t.Errorf("a pull is answered with %s: %s", protocol.ResponseName(p.code), p.remark)
		}
		c.ok(protocol.UpdateBrokerConfig, nil, []byte("autoCreateSubscriptionGroup=true"))
		c.heartbeat("c1", "", "consumers", subscription(t, "orders", "*"))
		c.ok(protocol.GetConsumerList, &protocol.ConsumerListRequest{ConsumerGroup: "consumers"}, nil)
	}, Conf("autoCreateSubscriptionGroup=false"))
}
