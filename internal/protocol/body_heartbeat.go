package protocol

import (
	"fmt"
	"strings"
)

// Values of ConsumerData's fields, by Java's names.
const (
	ConsumeActively  = "CONSUME_ACTIVELY"  // pull
	ConsumePassively = "CONSUME_PASSIVELY" // push
	ConsumePop       = "CONSUME_POP"       // 5.x

	Broadcasting = "BROADCASTING"
	Clustering   = "CLUSTERING"

	ConsumeFromLastOffset  = "CONSUME_FROM_LAST_OFFSET"
	ConsumeFromFirstOffset = "CONSUME_FROM_FIRST_OFFSET"
	ConsumeFromTimestamp   = "CONSUME_FROM_TIMESTAMP"
)

// SubscribeAll is the expression that takes every message.
const SubscribeAll = "*"

// HeartbeatData is the body of code 34 (HEART_BEAT). 4.9 knows the first three
// fields. 5.x adds heartbeats of version 2: a fingerprint other than 0 lets the
// broker skip subscriptions that it knows, and WithoutSub says that this
// heartbeat carries none. Empty sets are left out: Java fails on null but not on
// absent ones.
type HeartbeatData struct {
	ClientID    string         `json:"clientID"`
	Consumers   []ConsumerData `json:"consumerDataSet,omitempty"`
	Producers   []ProducerData `json:"producerDataSet,omitempty"`
	Fingerprint int32          `json:"heartbeatFingerprint"`
	WithoutSub  bool           `json:"withoutSub"`
}

// ProducerData is one producer group of a client.
type ProducerData struct {
	GroupName string `json:"groupName"`
}

// UnmarshalJSON implements json.Unmarshaler; it takes objects only.
func (p *ProducerData) UnmarshalJSON(b []byte) error {
	type plain ProducerData
	return unmarshalElement(b, (*plain)(p))
}

// ConsumerData is one consumer group of a client.
type ConsumerData struct {
	ConsumeFromWhere string             `json:"consumeFromWhere"`
	ConsumeType      string             `json:"consumeType"`
	GroupName        string             `json:"groupName"`
	MessageModel     string             `json:"messageModel"`
	Subscriptions    []SubscriptionData `json:"subscriptionDataSet,omitempty"`
	UnitMode         bool               `json:"unitMode"`
}

// UnmarshalJSON also takes the place of a constant in its Java enum, which the C++
// client and those built on it write, and its name otherwise written, as client-go
// does. It takes objects only.
func (c *ConsumerData) UnmarshalJSON(b []byte) error {
	type plain ConsumerData
	v := struct {
		*plain
		ConsumeFromWhere enumText `json:"consumeFromWhere"`
		ConsumeType      enumText `json:"consumeType"`
		MessageModel     enumText `json:"messageModel"`
	}{plain: (*plain)(c)}
	if err := unmarshalElement(b, &v); err != nil {
		return err
	}
	c.ConsumeFromWhere = v.ConsumeFromWhere.name(
		ConsumeFromLastOffset, "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST", "CONSUME_FROM_MIN_OFFSET", "CONSUME_FROM_MAX_OFFSET",
		ConsumeFromFirstOffset, ConsumeFromTimestamp,
	)
	c.ConsumeType = v.ConsumeType.name(ConsumeActively, ConsumePassively, ConsumePop)
	c.MessageModel = v.MessageModel.name(Broadcasting, Clustering)
	return nil
}

// SubscriptionData is what a group wants of a topic. It travels in heartbeats
// and is compared by SubVersion: the later one wins.
type SubscriptionData struct {
	ClassFilterMode bool     `json:"classFilterMode"`
	CodeSet         []int32  `json:"codeSet,omitempty"` // HashCode of each tag
	ExpressionType  string   `json:"expressionType"`    // ExpressionTag or ExpressionSQL92
	SubString       string   `json:"subString"`         // the expression as written
	SubVersion      int64    `json:"subVersion"`        // ms since 1970 when it was made
	TagsSet         []string `json:"tagsSet,omitempty"`
	Topic           string   `json:"topic"`
}

// UnmarshalJSON also takes numbers written as strings, as client-go's codeSet
// and the C++ client's subVersion are, and a missing expression type as TAG.
func (s *SubscriptionData) UnmarshalJSON(b []byte) error {
	type plain SubscriptionData
	v := struct {
		*plain
		CodeSet    []flexInt64 `json:"codeSet"`
		SubVersion flexInt64   `json:"subVersion"`
	}{plain: (*plain)(s)}
	*s = SubscriptionData{}
	if err := unmarshalElement(b, &v); err != nil {
		return err
	}
	s.SubVersion = int64(v.SubVersion)
	if len(v.CodeSet) > 0 {
		s.CodeSet = make([]int32, len(v.CodeSet))
		for i, c := range v.CodeSet {
			s.CodeSet[i] = int32(c)
		}
	}
	if s.ExpressionType == "" {
		s.ExpressionType = ExpressionTag
	}
	return nil
}

// TagType reports whether the subscription is by tags, rather than by an expression.
func (s *SubscriptionData) TagType() bool {
	return s.ExpressionType == "" || s.ExpressionType == ExpressionTag
}

// CheckClientRequest is the body of code 46 (CHECK_CLIENT_CONFIG): what a client is
// about to subscribe to.
type CheckClientRequest struct {
	ClientID     string            `json:"clientId"`
	Group        string            `json:"group"`
	Namespace    string            `json:"namespace,omitempty"`
	Subscription *SubscriptionData `json:"subscriptionData"`
}

// BuildTagSubscription parses a tag expression as Java's FilterAPI does: "" and
// "*" take all, otherwise tags are separated by "||"; white space around them,
// empty ones and repetitions are dropped. An expression without any tag is an
// error, since it would match nothing. SubVersion is left to the caller.
func BuildTagSubscription(topic, expr string) (SubscriptionData, error) {
	s := SubscriptionData{Topic: topic, SubString: expr, ExpressionType: ExpressionTag}
	if expr == "" || expr == SubscribeAll {
		s.SubString = SubscribeAll
		return s, nil
	}
	seen := make(map[string]bool)
	for tag := range strings.SplitSeq(expr, "||") {
		tag = strings.TrimFunc(tag, func(r rune) bool { return r <= ' ' }) // Java's String.trim
		if tag == "" || seen[tag] {
			continue
		}
		seen[tag] = true
		s.TagsSet = append(s.TagsSet, tag)
		s.CodeSet = append(s.CodeSet, HashCode(tag))
	}
	if len(s.TagsSet) == 0 {
		return SubscriptionData{}, fmt.Errorf("tag expression %.64q for topic %q has no tag; write \"*\" for all, or \"a || b\"", expr, topic)
	}
	return s, nil
}

// MatchesAll reports whether s takes every message of its topic.
func (s *SubscriptionData) MatchesAll() bool {
	return s.SubString == SubscribeAll || s.SubString == ""
}

// ConsumerList is the body of code 38's response.
type ConsumerList struct {
	ConsumerIDs []string `json:"consumerIdList"`
}
