package broker

import (
	"context"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 43 GET_ALL_CONSUMER_OFFSET, 45 GET_ALL_DELAY_OFFSET, 200
// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, 201 GET_ALL_SUBSCRIPTIONGROUP_CONFIG, 207
// DELETE_SUBSCRIPTIONGROUP, 225 UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, 352
// GET_SUBSCRIPTIONGROUP_CONFIG and 353 UPDATE_AND_GET_GROUP_FORBIDDEN
// (AdminBrokerProcessor). 225, 352 and 353 came with 5.x, as did the check of names,
// the attributes of groups and the table of what is forbidden.

func (b *Broker) groupHandlers() handlers {
	return handlers{
		protocol.GetAllConsumerOffset: b.at(b.allOffsets),
		protocol.GetAllDelayOffset:    b.at(b.allDelayOffsets),
		protocol.UpdateGroup:          b.updateGroup,
		protocol.UpdateGroupList:      b.updateGroups,
		protocol.GetAllGroups:         b.at(b.allGroups),
		protocol.DeleteGroup:          b.deleteGroup,
		protocol.GetGroupConfig:       b.at(b.groupConfig),
		protocol.UpdateGroupForbidden: b.at(b.groupForbidden),
	}
}

// saved answers with success when what has changed is durable.
func (b *Broker) saved(p *peer, cmd *protocol.Command) {
	b.later(p, cmd, func(ctx context.Context) answer {
		if err := b.meta.WaitSaved(ctx); err != nil {
			return failed(err)
		}
		return answer{}
	})
}

func (b *Broker) updateGroup(p *peer, cmd *protocol.Command) {
	var c meta.GroupConfig
	if err := protocol.DecodeBody(cmd.Body, &c); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	b.changeGroups(p, cmd, []meta.GroupConfig{c})
}

func (b *Broker) updateGroups(p *peer, cmd *protocol.Command) {
	var list struct {
		Groups []meta.GroupConfig `json:"groupConfigList"`
	}
	if err := protocol.DecodeBody(cmd.Body, &list); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	b.changeGroups(p, cmd, list.Groups)
}

// changeGroups makes all changes, or none when one is wrong.
func (b *Broker) changeGroups(p *peer, cmd *protocol.Command, groups []meta.GroupConfig) {
	for _, c := range groups {
		err := meta.CheckGroup(c.GroupName)
		switch {
		case err != nil:
			b.reply(p.conn, cmd, failed(err))
			return
		case len(c.Attributes) > 0:
			b.reply(p.conn, cmd, refuse(protocol.SystemError, "group %s: broker-lite has no attributes of groups; leave them out, or use Apache RocketMQ", c.GroupName))
			return
		}
	}
	for _, c := range groups {
		if err := b.meta.Groups.Update(c); err != nil {
			b.reply(p.conn, cmd, failed(err))
			return
		}
		b.audit(p, cmd, "group", c.GroupName, "consume", c.ConsumeEnable, "broadcast", c.ConsumeBroadcastEnable, "fromMin", c.ConsumeFromMinEnable,
			"retryQueues", c.RetryQueueNums, "retryMaxTimes", c.RetryMaxTimes)
	}
	b.saved(p, cmd)
}

// totalGroups are the fields of the answer to code 201.
type totalGroups int

func (n totalGroups) AppendFields(w *protocol.FieldWriter) { w.Int("totalGroupNum", int64(n)) }

func (b *Broker) allGroups(*peer, *protocol.Command) answer {
	groups, version := b.meta.Groups.Snapshot()
	a := encoded(struct {
		Version   protocol.DataVersion        `json:"dataVersion"`
		Forbidden map[string]map[string]int32 `json:"forbiddenTable"`
		Groups    map[string]meta.GroupConfig `json:"subscriptionGroupTable"`
	}{version, b.meta.Groups.Forbidden(), groups})
	if a.code == protocol.Success {
		a.header = totalGroups(len(groups))
	}
	return a
}

// deleteGroup takes a group, and with cleanOffset its offsets. mqadmin deletes its
// retry and dead letter topics itself (code 215).
func (b *Broker) deleteGroup(p *peer, cmd *protocol.Command) {
	group := strings.Clone(cmd.Fields.Value("groupName"))
	clean := strings.EqualFold(cmd.Fields.Value("cleanOffset"), "true")
	b.audit(p, cmd, "group", group, "cleanOffset", clean)
	b.meta.Groups.Delete(group)
	if clean {
		b.meta.Offsets.RemoveGroup(group)
		b.pops.Forget(func(c meta.Consumption) bool { return c.Group == group })
	}
	b.stats.forgetGroup(group)
	b.saved(p, cmd)
}

// groupConfig makes the group when groups are made, as findSubscriptionGroupConfig
// does.
func (b *Broker) groupConfig(_ *peer, cmd *protocol.Command) answer {
	group, ok := b.meta.Groups.Find(strings.Clone(cmd.Fields.Value("group")))
	if !ok {
		return refuse(protocol.GroupNotExist, "No group in this broker")
	}
	return encoded(group)
}

// groupForbidden changes, when it says how, and tells whether a group may read a topic.
func (b *Broker) groupForbidden(p *peer, cmd *protocol.Command) answer {
	group, topic := strings.Clone(cmd.Fields.Value("group")), strings.Clone(cmd.Fields.Value("topic"))
	if text := cmd.Fields.Value("readable"); text != "" {
		readable, err := strconv.ParseBool(text)
		if err != nil {
			return refuse(protocol.InvalidParameter, "readable=%.16s: want true or false", text)
		}
		if !b.hasTopic(topic) {
			return refuse(protocol.TopicNotExist, "topic[%.255s] not exist", topic)
		}
		if _, ok := b.meta.Groups.Get(group); !ok {
			return refuse(protocol.GroupNotExist, "subscription group [%.255s] does not exist", group)
		}
		b.audit(p, cmd, "group", group, "topic", topic, "readable", readable)
		b.meta.Groups.ForbidRead(group, topic, !readable)
	}
	return encoded(struct {
		Group    string `json:"group"`
		Readable bool   `json:"readable"`
		Topic    string `json:"topic"`
	}{group, !b.meta.Groups.ReadForbidden(group, topic), topic})
}

func (b *Broker) allOffsets(*peer, *protocol.Command) answer {
	body, err := b.meta.Offsets.Encode()
	if err != nil {
		return failed(err)
	}
	return answer{body: body}
}

// allDelayOffsets has the form of delayOffset.json.
func (b *Broker) allDelayOffsets(*peer, *protocol.Command) answer {
	table := map[string]int64{}
	for i, o := range b.schedule.Offsets() {
		table[strconv.Itoa(i+1)] = o[0]
	}
	return encoded(struct {
		Offsets map[string]int64 `json:"offsetTable"`
	}{table})
}
