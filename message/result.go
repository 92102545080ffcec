package message

import "fmt"

// Status says how safely a sent message is stored. Every status means stored.
type Status int

// Statuses of a SendResult. The numbers are this package's own; the names are
// RocketMQ's.
const (
	// SendOK: stored as the broker is configured to store.
	SendOK Status = iota
	// FlushDiskTimeout: the broker flushes synchronously and the disk was not
	// done within syncFlushTimeout.
	FlushDiskTimeout
	// FlushSlaveTimeout: the broker replicates synchronously and the slave was
	// not done in time.
	FlushSlaveTimeout
	// SlaveNotAvailable: the broker replicates synchronously and has no slave.
	SlaveNotAvailable
)

func (s Status) String() string {
	switch s {
	case SendOK:
		return "SEND_OK"
	case FlushDiskTimeout:
		return "FLUSH_DISK_TIMEOUT"
	case FlushSlaveTimeout:
		return "FLUSH_SLAVE_TIMEOUT"
	case SlaveNotAvailable:
		return "SLAVE_NOT_AVAILABLE"
	}
	return fmt.Sprintf("status %d", int(s))
}

// MarshalText makes a status its name in JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a status by its name.
func (s *Status) UnmarshalText(b []byte) error {
	for v := SendOK; v <= SlaveNotAvailable; v++ {
		if v.String() == string(b) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("unknown send status %q", b)
}

// SendResult says where a message was stored.
type SendResult struct {
	Status Status
	// MessageID is the id that the producer gave the message; consumers see it
	// as Delivery.ID.
	MessageID string
	// OffsetMessageID names the stored copy by broker address and offset.
	OffsetMessageID string
	Queue           Queue
	QueueOffset     int64
	// TransactionID is set for transactional sends.
	TransactionID string
	// RecallHandle cancels a timer message, where the server supports it.
	RecallHandle string
}

// String is in the form of Java's client. The result beside an error is empty, and
// says so.
func (r SendResult) String() string {
	if r == (SendResult{}) {
		return "SendResult [not sent]"
	}
	return fmt.Sprintf("SendResult [sendStatus=%s, msgId=%s, offsetMsgId=%s, messageQueue=MessageQueue [topic=%s, brokerName=%s, queueId=%d], queueOffset=%d]",
		r.Status, r.MessageID, r.OffsetMessageID, r.Queue.Topic, r.Queue.Broker, r.Queue.ID, r.QueueOffset)
}
