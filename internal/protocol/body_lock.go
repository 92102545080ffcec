package protocol

// LockBatchRequest is the body of codes 41 (LOCK_BATCH_MQ) and 42 (UNLOCK_BATCH_MQ):
// a member of a group that consumes in order locks queues, or gives them back. 5.x adds
// OnlyThisBroker, which asks a broker not to ask its slaves.
type LockBatchRequest struct {
	ClientID       string         `json:"clientId"`
	ConsumerGroup  string         `json:"consumerGroup"`
	Queues         []MessageQueue `json:"mqSet"`
	OnlyThisBroker bool           `json:"onlyThisBroker"`
}

// LockBatchResponse is the body of code 41's response: the queues that are locked.
type LockBatchResponse struct {
	Locked []MessageQueue `json:"lockOKMQSet"`
}
