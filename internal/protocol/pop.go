package protocol

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrMalformedReceipt is wrapped by every error about a text that is no receipt.
var ErrMalformedReceipt = errors.New("malformed receipt")

// ErrMalformedHandle is wrapped by every error about a text that is no recall
// handle.
var ErrMalformedHandle = errors.New("recall handle is invalid")

// PopReceipt says which delivery of a message is meant: the property POP_CK of a
// popped message, and extraInfo of the requests about it (ExtraInfoUtil). Its text
// is eight words.
type PopReceipt struct {
	StartOffset   int64 // the first of the queue's in the same answer
	PopTime       int64 // ms since 1970
	InvisibleTime int64 // ms
	ReviveQueueID int32
	Retry         string // "0" for the topic itself, "1" and "2" for its retry topic
	BrokerName    string
	QueueID       int32
	Offset        int64
}

// String renders r.
func (r *PopReceipt) String() string {
	return fmt.Sprintf("%d %d %d %d %s %s %d %d", r.StartOffset, r.PopTime, r.InvisibleTime, r.ReviveQueueID, r.Retry, r.BrokerName, r.QueueID, r.Offset)
}

// ParsePopReceipt reads a receipt. The last four words may be missing: brokers do
// not look at them.
func ParsePopReceipt(s string) (r PopReceipt, err error) {
	words := strings.SplitN(s, " ", 9)
	if len(words) < 4 || len(words) > 8 {
		return r, fmt.Errorf("%w: %.100q has %d words, want 8", ErrMalformedReceipt, s, len(words))
	}
	number := func(i int, bits int) (n int64) {
		if i >= len(words) {
			return 0
		}
		n, e := strconv.ParseInt(words[i], 10, bits)
		if e != nil && err == nil {
			err = fmt.Errorf("%w: %.100q: word %d is no whole number", ErrMalformedReceipt, s, i+1)
		}
		return n
	}
	r = PopReceipt{
		StartOffset: number(0, 64), PopTime: number(1, 64), InvisibleTime: number(2, 64), ReviveQueueID: int32(number(3, 32)),
		QueueID: int32(number(6, 32)), Offset: number(7, 64),
	}
	if len(words) > 4 {
		r.Retry = words[4]
	}
	if len(words) > 5 {
		r.BrokerName = words[5]
	}
	return r, err
}

const retryTopicPrefix = "%RETRY%"

// PopRetryTopic is the topic that messages of a topic come back through which a
// group has popped and not acknowledged; v2 is its name under enableRetryTopicV2
// (KeyBuilder).
func PopRetryTopic(topic, group string, v2 bool) string {
	if v2 {
		return retryTopicPrefix + group + "+" + topic
	}
	return retryTopicPrefix + group + "_" + topic
}

// PopRetryMark is how receipts and pop answers mark a topic.
func PopRetryMark(topic string) string {
	switch {
	case !strings.HasPrefix(topic, retryTopicPrefix):
		return "0"
	case strings.Contains(topic, "+"):
		return "2"
	}
	return "1"
}

// PopRealTopic is the topic that a mark stands for; ok is false for an unknown one.
func PopRealTopic(topic, group, mark string) (real string, ok bool) {
	switch mark {
	case "0":
		return topic, true
	case "1", "2":
		return PopRetryTopic(topic, group, mark == "2"), true
	}
	return "", false
}

// RecallHandle names a timer message to take back (RecallMessageHandle). Its text
// is five words in base64 for URLs, with padding.
type RecallHandle struct {
	Topic      string
	BrokerName string
	Timestamp  string // ms since 1970
	UniqueKey  string
}

// String renders h.
func (h *RecallHandle) String() string {
	return base64.URLEncoding.EncodeToString([]byte("v1 " + h.Topic + " " + h.BrokerName + " " + h.Timestamp + " " + h.UniqueKey))
}

// ParseRecallHandle reads a handle.
func ParseRecallHandle(s string) (h RecallHandle, err error) {
	raw, err := base64.URLEncoding.DecodeString(s)
	if err != nil {
		if raw, err = base64.RawURLEncoding.DecodeString(s); err != nil { // as Java's decoder does
			return h, ErrMalformedHandle
		}
	}
	words := strings.Split(string(raw), " ")
	if len(words) < 5 || words[0] != "v1" {
		return h, ErrMalformedHandle
	}
	return RecallHandle{words[1], words[2], words[3], words[4]}, nil
}
