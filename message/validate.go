package message

import (
	"errors"
	"fmt"
	"strings"
)

// Validate reports everything that is wrong with m, joined. maxBody limits the
// body in bytes; 0 means MaxBodySize.
func (m *Message) Validate(maxBody int) error {
	if maxBody <= 0 {
		maxBody = MaxBodySize
	}
	var errs []error
	if err := CheckTopic(m.Topic); err != nil {
		errs = append(errs, err)
	}
	switch {
	case len(m.Body) == 0:
		errs = append(errs, fmt.Errorf("%w: topic %q: RocketMQ refuses a message without a body; send at least one byte", ErrEmptyBody, m.Topic))
	case len(m.Body) > maxBody:
		errs = append(errs, fmt.Errorf("%w: topic %q: %d bytes, at most %d; raise the producer's and the server's maxMessageSize or send a reference", ErrBodyTooLarge, m.Topic, len(m.Body), maxBody))
	}
	if strings.ContainsAny(m.Tag, "| \t\r\n\x01\x02") {
		errs = append(errs, fmt.Errorf("%w: tag %q must not contain '|', white space, \\x01 or \\x02", ErrInvalidMessage, m.Tag))
	}
	for _, k := range m.Keys {
		if k == "" || strings.ContainsAny(k, " \t\r\n\x01\x02") {
			errs = append(errs, fmt.Errorf("%w: key %q must not be empty or contain white space, \\x01 or \\x02", ErrInvalidMessage, k))
		}
	}
	if strings.ContainsAny(m.ShardingKey, "\x01\x02") {
		errs = append(errs, fmt.Errorf("%w: sharding key %q must not contain \\x01 or \\x02", ErrInvalidMessage, m.ShardingKey))
	}
	for k, v := range m.Properties {
		if err := CheckProperty(k, v); err != nil {
			errs = append(errs, err)
		}
	}
	if n := m.PropertiesSize(); n > MaxPropertiesLength {
		errs = append(errs, fmt.Errorf("%w: keys, tag and properties take %d bytes, at most %d travel; move what is large into the body", ErrInvalidMessage, n, MaxPropertiesLength))
	}
	if err := m.Delay.validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (d Delay) validate() error {
	set := 0
	for _, on := range []bool{d.Level != 0, d.After != 0, !d.At.IsZero()} {
		if on {
			set++
		}
	}
	switch {
	case set > 1:
		return fmt.Errorf("%w: more than one of delay level, After and At is set", ErrInvalidMessage)
	case d.Level < 0:
		return fmt.Errorf("%w: delay level %d is negative", ErrInvalidMessage, d.Level)
	case d.OrLevel < 0:
		return fmt.Errorf("%w: delay level %d, for want of timer messages, is negative", ErrInvalidMessage, d.OrLevel)
	case d.OrLevel > 0 && d.After == 0 && d.At.IsZero():
		return fmt.Errorf("%w: delay level %d is for want of timer messages, but neither After nor At is set", ErrInvalidMessage, d.OrLevel)
	case d.After < 0:
		return fmt.Errorf("%w: delay of %s is negative", ErrInvalidMessage, d.After)
	}
	return nil
}

// PropertiesSize is the length in bytes of m's keys, tag, sharding key and
// properties as they travel, without those that a producer adds (its id, a
// delay, a trace context).
func (m *Message) PropertiesSize() int {
	const separators = 2
	n := 0
	add := func(name string, value int) {
		if value > 0 {
			n += len(name) + value + separators
		}
	}
	add(propTags, len(m.Tag))
	add(propShardingKey, len(m.ShardingKey))
	keys := max(len(m.Keys)-1, 0) // joined by one character each
	for _, k := range m.Keys {
		keys += len(k)
	}
	add(propKeys, keys)
	for k, v := range m.Properties {
		add(k, len(v))
	}
	return n
}

// CheckProperty reports whether a user's property can travel under that name
// with that value.
func CheckProperty(name, value string) error {
	switch {
	case name == "" || strings.ContainsAny(name, "\x01\x02"):
		return fmt.Errorf("%w: property name %q must not be empty or contain \\x01 or \\x02", ErrInvalidMessage, name)
	case strings.ContainsAny(value, "\x01\x02"):
		return fmt.Errorf("%w: value %q of property %q must not contain \\x01 or \\x02, RocketMQ's separators", ErrInvalidMessage, value, name)
	case value == "":
		return fmt.Errorf("%w: property %q has an empty value, which RocketMQ drops; leave it out", ErrInvalidMessage, name)
	case reserved(name):
		return fmt.Errorf("%w: property %q is RocketMQ's own; use the field or option for it", ErrInvalidMessage, name)
	}
	return nil
}

// reserved lists the names that a user's property would silently override
// (MessageConst.STRING_HASH_SET and the ones that trigger server behaviour).
func reserved(name string) bool {
	switch name {
	case propKeys, propTags, "WAIT", "DELAY", propRetryTopic, "REAL_TOPIC", "REAL_QID", "TRAN_MSG", "PGROUP",
		"MIN_OFFSET", "MAX_OFFSET", "BUYER_ID", propOriginMessageID, "TRANSFER_FLAG", "CORRECTION_FLAG", "MQ2_FLAG",
		"RECONSUME_TIME", "MSG_REGION", "TRACE_ON", "UNIQ_KEY", "MAX_RECONSUME_TIMES", "CONSUME_START_TIME", "INSTANCE_ID",
		"TRAN_PREPARED_QUEUE_OFFSET", "TRANSACTION_CHECK_TIMES", "CHECK_IMMUNITY_TIME_IN_SECONDS",
		"__SHARDINGKEY", "__transactionId__", "TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS", "TIMER_OUT_MS",
		"TIMER_DEL_UNIQKEY", "DLQ_ORIGIN_TOPIC", "DLQ_ORIGIN_MESSAGE_ID", "INNER_BASE", "INNER_NUM":
		return true
	}
	return strings.HasPrefix(name, "__RMQ.TRANSIENT.")
}
