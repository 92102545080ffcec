package message

import (
	"fmt"
	"strings"
)

// Limits of RocketMQ 4.9 and 5.x (Validators, TopicValidator, Message).
const (
	MaxTopicLength      = 127
	MaxGroupLength      = 120 // 255 on the client, but %RETRY%group must fit a topic
	MaxBodySize         = 4 << 20
	MaxPropertiesLength = 32767
)

// Prefixes of the topics that belong to a consumer group.
const (
	RetryPrefix = "%RETRY%"
	DLQPrefix   = "%DLQ%"
)

// RetryTopic is where a group's failed messages wait for their next attempt.
func RetryTopic(group string) string { return RetryPrefix + group }

// DLQTopic is where a group's messages end that failed for the last time.
func DLQTopic(group string) string { return DLQPrefix + group }

// CheckTopic reports whether name can be a topic.
func CheckTopic(name string) error {
	return checkName("topic", name, MaxTopicLength, ErrInvalidTopic)
}

// CheckGroup reports whether name can be a producer or consumer group.
func CheckGroup(name string) error {
	return checkName("group", name, MaxGroupLength, ErrInvalidGroup)
}

func checkName(kind, name string, limit int, sentinel error) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fmt.Errorf("%w: the %s is empty", sentinel, kind)
	case len(name) > limit:
		return fmt.Errorf("%w: %.32q… has %d bytes, at most %d", sentinel, name, len(name), limit)
	}
	for i, r := range name {
		if !nameRune(r) {
			if kind == "topic" && r == ':' {
				return fmt.Errorf("%w: %q has a ':'; a tag stands beside its topic: use message.Tag(%q), in handlers consumer.Tags", sentinel, name, name[i+1:])
			}
			return fmt.Errorf("%w: %q has %q at byte %d; allowed are letters, digits and %%|_-", sentinel, name, r, i)
		}
	}
	return nil
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '%' || r == '|'
}

// Names of the properties that RocketMQ reads itself, as far as this package
// needs them.
const (
	propKeys            = "KEYS"
	propTags            = "TAGS"
	propOriginMessageID = "ORIGIN_MESSAGE_ID"
	propShardingKey     = "__SHARDINGKEY"
	propRetryTopic      = "RETRY_TOPIC"
)
