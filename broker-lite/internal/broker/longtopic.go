package broker

import (
	"encoding/binary"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Records of topics with more than 127 bytes have version 2, with two bytes for the
// topic's length (CommitLog, autoMessageVersionOnTopicLen). Only retry topics and dead
// letters can have such names. Apache gives these records to any client; one of before
// 5.0, and rocketmq-client-go, which claims to be 4.x, would read rubbish. Here it is
// refused.

// readsLongTopics reports whether a request's sender can read records of version 2.
func readsLongTopics(cmd *protocol.Command) bool { return cmd.Version >= protocol.VersionV5_0_0 }

// unreadable refuses a client records of a topic that it cannot read; nil when it can.
func unreadable(cmd *protocol.Command, topic string) *answer {
	if len(topic) <= protocol.MaxTopicLength || readsLongTopics(cmd) {
		return nil
	}
	a := refuse(protocol.SystemError, "topic %s has %d bytes, and clients before 5.0 cannot read messages of topics with more than %d (records of version 2); use a 5.x client", topic, len(topic), protocol.MaxTopicLength)
	return &a
}

// unreadableRecord is unreadable for a stored record.
func unreadableRecord(cmd *protocol.Command, record []byte) *answer {
	if len(record) < 8 || binary.BigEndian.Uint32(record[4:]) != protocol.MagicV2 {
		return nil
	}
	var r protocol.Record
	if _, err := protocol.DecodeRecord(record, &r); err != nil {
		return nil // it is no record: the client's to judge
	}
	return unreadable(cmd, r.Topic)
}
