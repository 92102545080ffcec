package meta

import (
	"fmt"
	"strings"
)

// Topics that every broker has (TopicValidator, MixAll, TimerMessageStore).
const (
	SelfTestTopic    = "SELF_TEST_TOPIC"
	DefaultTopic     = "TBW102" // what auto-created topics are made like
	BenchmarkTopic   = "BenchmarkTest"
	OffsetMovedTopic = "OFFSET_MOVED_EVENT"
	ScheduleTopic    = "SCHEDULE_TOPIC_XXXX"
	HalfTopic        = "RMQ_SYS_TRANS_HALF_TOPIC"
	OpHalfTopic      = "RMQ_SYS_TRANS_OP_HALF_TOPIC"
	// CheckMaxTimeTopic takes half messages that were checked too often. It is
	// made when the first comes.
	CheckMaxTimeTopic = "TRANS_CHECK_MAX_TIME_TOPIC"
	TimerTopic        = "rmq_sys_wheel_timer"

	replySuffix  = "_REPLY_TOPIC" // after the cluster's name
	systemPrefix = "rmq_sys_"
	// revivePrefix begins the name of the topic where POP keeps its journal; the
	// cluster's name follows (PopAckConstants).
	revivePrefix = systemPrefix + "REVIVE_LOG_"

	RetryPrefix = "%RETRY%" // + group
	DLQPrefix   = "%DLQ%"   // + group
)

// Limits of names, in characters (TopicValidator).
const (
	maxTopicLength      = 127
	maxGroupLength      = 120
	maxRetryTopicLength = 255
)

// NameError is a topic or group that a request must not name. Its text is what
// Apache's brokers answer with INVALID_PARAMETER.
type NameError struct{ Remark string }

func (e *NameError) Error() string { return e.Remark }

// CheckTopic reports whether name can be a topic; the error is a *NameError.
func CheckTopic(name string) error {
	switch {
	case blank(name):
		return &NameError{"The specified topic is blank."}
	case illegal(name):
		return &NameError{fmt.Sprintf("The specified topic: %s, contains illegal characters, allowing only ^[%%|a-zA-Z0-9_-]+$", name)}
	case strings.HasPrefix(name, RetryPrefix) || strings.HasPrefix(name, DLQPrefix):
		if len(name) > maxRetryTopicLength {
			return &NameError{fmt.Sprintf("The specified topic is DLQ or Retry topic: %s, and it's longer than topic max length: %d", name, maxRetryTopicLength)}
		}
	case len(name) > maxTopicLength:
		return &NameError{fmt.Sprintf("The specified topic: %s, is longer than topic max length: %d", name, maxTopicLength)}
	}
	return nil
}

// CheckGroup reports whether name can be a group; the error is a *NameError.
func CheckGroup(name string) error {
	switch {
	case blank(name):
		return &NameError{"The specified group is blank."}
	case illegal(name):
		return &NameError{fmt.Sprintf("The specified group: %s, contains illegal characters, allowing only ^[%%|a-zA-Z0-9_-]+$", name)}
	case len(name) > maxGroupLength:
		return &NameError{fmt.Sprintf("The specified group: %s, is longer than group max length: %d", name, maxGroupLength)}
	}
	return nil
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

func illegal(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '%', c == '|', c == '_', c == '-':
		default:
			return true
		}
	}
	return false
}

// ReviveTopic is the topic where POP keeps its journal.
func ReviveTopic(cluster string) string { return revivePrefix + cluster }

// SendForbidden reports whether clients must not send to a topic.
func SendForbidden(topic string) bool {
	switch topic {
	case ScheduleTopic, HalfTopic, OpHalfTopic, CheckMaxTimeTopic, SelfTestTopic, OffsetMovedTopic,
		"RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC", "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC":
		return true
	}
	return strings.HasPrefix(topic, revivePrefix)
}

// systemTopic reports whether a topic belongs to RocketMQ itself, whatever the
// broker.
func systemTopic(topic string) bool {
	switch topic {
	case DefaultTopic, BenchmarkTopic, "RMQ_SYS_TRACE_TOPIC", "CHECKPOINT_TOPIC":
		return true
	}
	return SendForbidden(topic) || strings.HasPrefix(topic, systemPrefix)
}
