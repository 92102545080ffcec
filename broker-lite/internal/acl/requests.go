package acl

import (
	"strings"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Request codes that package protocol has no name for.
const (
	getACLConfig          protocol.Code = 54 // answers with the secret keys
	updateColdDataControl protocol.Code = 2001
	setCommitLogReadMode  protocol.Code = 2004
	authFirst             protocol.Code = 3001
	authLast              protocol.Code = 3010
	switchTimerEngine     protocol.Code = 5001
)

// adminOnly reports whether a code is for admins. 4.9.7 has the first line; the others
// change the broker, its rules or another group's state, and 54 tells secret keys.
func adminOnly(code protocol.Code) bool {
	switch code {
	case protocol.UpdateAndCreateTopic, protocol.UpdateBrokerConfig, protocol.DeleteTopicInBroker, protocol.UpdateGroup, protocol.DeleteGroup,
		protocol.UpdateAndCreateTopicList, protocol.UpdateGroupList, protocol.UpdateStaticTopic,
		protocol.UpdateACLConfig, protocol.DeleteACLConfig, protocol.UpdateGlobalWhiteAddrs, getACLConfig,
		protocol.CleanExpiredConsumeQueue, protocol.CleanUnusedTopic, protocol.DeleteExpiredCommitLog, protocol.CloneGroupOffset, protocol.ResumeCheckHalfMessage,
		protocol.UpdateGroupForbidden, protocol.SetMessageRequestMode, switchTimerEngine:
		return true
	}
	return code >= updateColdDataControl && code <= setCommitLogReadMode || code >= authFirst && code <= authLast
}

const (
	retryPrefix      = "%RETRY%"
	traceTopic       = "RMQ_SYS_TRACE_TOPIC"
	replyTopicSuffix = "_REPLY_TOPIC"
)

// resources checks every topic and group that a request names. Where a header has a
// field twice, or in both of the spellings that the broker reads, each is checked: the
// one that the handler takes is among them.
//
//	10, 310, 320           topic PUB; %RETRY%g: group g SUB; the trace topic: free
//	324, 325               topic PUB; <cluster>_REPLY_TOPIC: free     *
//	370; 37 (5.x client)   topic PUB                                  *
//	36                     group SUB
//	11                     topic SUB, group SUB
//	361, 14, 222           topic SUB, group SUB                       *
//	12                     topic SUB
//	15                     topic SUB, group SUB
//	35, 38                 group SUB
//	34                     each consumer: group SUB, topics SUB
//	41, 42                 group SUB, topics SUB                      *
//	200050–200056, 200151  topic SUB, group SUB                       *
//
// Those with * are free on 4.9.7; 5.4.0 checks them, but for 324 and 325 (whose message
// is stored in any topic that it names) and 361.
func (a *account) resources(cmd *protocol.Command) error {
	switch cmd.Code {
	case protocol.SendMessage, protocol.SendMessageV2, protocol.SendBatchMessage, protocol.SendReply, protocol.SendReplyV2:
		return a.send(cmd)
	case protocol.RecallMessage, protocol.EndTransaction:
		return a.fields(cmd, "topic", Pub, "")
	case protocol.SendMessageBack:
		return a.fields(cmd, "", 0, "group")
	case protocol.PullMessage, protocol.LitePullMessage, protocol.QueryConsumerOffset, protocol.UpdateConsumerOffset,
		protocol.PopMessage, protocol.PeekMessage, protocol.Notification, protocol.PollingInfo:
		return a.fields(cmd, "topic", Sub, "consumerGroup")
	case protocol.ResetOffset:
		return a.fields(cmd, "topic", Sub, "group")
	case protocol.QueryMessage:
		return a.fields(cmd, "topic", Sub, "")
	case protocol.UnregisterClient, protocol.GetConsumerList:
		return a.fields(cmd, "", 0, "consumerGroup")
	case protocol.AckMessage, protocol.ChangeInvisibleTime, protocol.PopRollback:
		return a.ack(cmd)
	case protocol.BatchAckMessage:
		return a.batchAck(cmd)
	case protocol.Heartbeat:
		return a.heartbeat(cmd)
	case protocol.LockBatchMQ, protocol.UnlockBatchMQ:
		return a.lock(cmd)
	}
	return nil
}

// topic checks a topic, or the group whose retry topic it is.
func (a *account) topic(cmd *protocol.Command, name string, needed Perm) error {
	if group, ok := strings.CutPrefix(name, retryPrefix); ok {
		return a.group(cmd, group, needed)
	}
	owned, ok := a.topics[name]
	if !ok {
		owned = a.topicPerm
	}
	if owned.has(needed) {
		return nil
	}
	return &Refusal{Reason: NotPermitted, AccessKey: a.accessKey, Request: cmd.Code, Topic: name, Needed: needed}
}

func (a *account) group(cmd *protocol.Command, name string, needed Perm) error {
	owned, ok := a.groups[name]
	if !ok {
		owned = a.groupPerm
	}
	if owned.has(needed) {
		return nil
	}
	return &Refusal{Reason: NotPermitted, AccessKey: a.accessKey, Request: cmd.Code, Group: name, Needed: needed}
}

// fields checks the header fields of these names; a group needs SUB.
func (a *account) fields(cmd *protocol.Command, topic string, needed Perm, group string) error {
	for i := range cmd.Fields {
		var err error
		switch f := &cmd.Fields[i]; f.Key {
		case "":
		case topic:
			err = a.topic(cmd, f.Value, needed)
		case group:
			err = a.group(cmd, f.Value, Sub)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// send checks "topic" and "b": the broker reads either spelling for any send.
func (a *account) send(cmd *protocol.Command) error {
	reply := cmd.Code == protocol.SendReply || cmd.Code == protocol.SendReplyV2
	for i := range cmd.Fields {
		f := &cmd.Fields[i]
		if f.Key != "topic" && f.Key != "b" {
			continue
		}
		needed := Pub
		switch {
		case reply && strings.HasSuffix(f.Value, replyTopicSuffix), !reply && f.Value == traceTopic:
			continue
		case strings.HasPrefix(f.Value, retryPrefix):
			needed = Sub
		}
		if err := a.topic(cmd, f.Value, needed); err != nil {
			return err
		}
	}
	return nil
}

// ack checks a group and a topic that may be the group's retry topic for POP,
// %RETRY%group_topic or %RETRY%group+topic: the group's permission covers it.
func (a *account) ack(cmd *protocol.Command) error {
	for i := range cmd.Fields {
		if cmd.Fields[i].Key != "topic" {
			continue
		}
		group, _ := cmd.Fields.Get("consumerGroup")
		if err := a.popTopic(cmd, cmd.Fields[i].Value, group); err != nil {
			return err
		}
	}
	return a.fields(cmd, "", 0, "consumerGroup")
}

func (a *account) popTopic(cmd *protocol.Command, topic, group string) error {
	rest, ok := strings.CutPrefix(topic, retryPrefix)
	if ok && group != "" {
		rest, ok = strings.CutPrefix(rest, group)
		if ok && (rest == "" || rest[0] == '_' || rest[0] == '+') {
			return a.group(cmd, group, Sub)
		}
	}
	return a.topic(cmd, topic, Sub)
}

// unreadable refuses a request whose topics and groups cannot be known.
func (a *account) unreadable(cmd *protocol.Command, err error) error {
	return &Refusal{Reason: Unreadable, AccessKey: a.accessKey, Request: cmd.Code, Err: err}
}

func (a *account) heartbeat(cmd *protocol.Command) error {
	var beat protocol.HeartbeatData
	if err := protocol.DecodeBody(cmd.Body, &beat); err != nil {
		return a.unreadable(cmd, err)
	}
	for i := range beat.Consumers {
		c := &beat.Consumers[i]
		if err := a.group(cmd, c.GroupName, Sub); err != nil {
			return err
		}
		for j := range c.Subscriptions {
			if err := a.topic(cmd, c.Subscriptions[j].Topic, Sub); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockBody is what is checked of the body of codes 41 and 42.
type lockBody struct {
	ConsumerGroup string `json:"consumerGroup"`
	Queues        []struct {
		Topic string `json:"topic"`
	} `json:"mqSet"`
}

func (a *account) lock(cmd *protocol.Command) error {
	var body lockBody
	if err := protocol.DecodeBody(cmd.Body, &body); err != nil {
		return a.unreadable(cmd, err)
	}
	if err := a.group(cmd, body.ConsumerGroup, Sub); err != nil {
		return err
	}
	for i := range body.Queues {
		if err := a.topic(cmd, body.Queues[i].Topic, Sub); err != nil {
			return err
		}
	}
	return nil
}

// batchAckBody is what is checked of the body of code 200151, whose names Java reads in
// two spellings.
type batchAckBody struct {
	Acks []struct {
		C     string `json:"c"`
		Group string `json:"consumerGroup"`
		T     string `json:"t"`
		Topic string `json:"topic"`
	} `json:"acks"`
}

// batchAck reads each acknowledgement's group and topic in both of Java's spellings.
func (a *account) batchAck(cmd *protocol.Command) error {
	var body batchAckBody
	if err := protocol.DecodeBody(cmd.Body, &body); err != nil {
		return a.unreadable(cmd, err)
	}
	for i := range body.Acks {
		ack := &body.Acks[i]
		for _, group := range []string{ack.C, ack.Group} {
			if group == "" {
				continue
			}
			if err := a.group(cmd, group, Sub); err != nil {
				return err
			}
		}
		for _, topic := range []string{ack.T, ack.Topic} {
			if topic == "" {
				continue
			}
			if err := a.topic(cmd, topic, Sub); err != nil {
				return err
			}
		}
	}
	return nil
}
