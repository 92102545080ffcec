package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// TraceTopic is where RocketMQ's clients write their message trace unless they were
// told another topic. Brokers have it with traceTopicEnable=true.
const TraceTopic = "RMQ_SYS_TRACE_TOPIC"

// TraceEvent is one step of a message that a client has traced.
type TraceEvent struct {
	// Type is RocketMQ's: Pub (sent), SubBefore and SubAfter (a handler's run begins
	// and has ended), EndTransaction, Recall.
	Type  string
	Time  time.Time // zero for a SubAfter of clients before 4.9.4
	Group string
	Topic string // of Pub, EndTransaction and Recall
	ID    string // the message's unique id
	Keys  string
	// Region is what the message's broker says of itself, "" for a SubAfter.
	Region string
	// Cost is how long the send or the handler took.
	Cost    time.Duration
	Success bool // of Pub, SubAfter and Recall
	// Request joins a SubBefore with its SubAfter.
	Request string
	// Retries is how often the message was tried before, of SubBefore.
	Retries int
	// State is a transaction's, such as COMMIT_MESSAGE.
	State string
	// FromCheck says that the state is the answer to a check-back.
	FromCheck bool
	// MessageType is of a Pub: Normal_Msg, Trans_Msg_Half, Delay_Msg.
	MessageType string
	// Outcome is what a handler's run came to, of SubAfter: SUCCESS, FAILED (an error),
	// EXCEPTION (a panic), TIME_OUT, RETURNNULL.
	Outcome string
}

// Trace returns what clients have traced of a message, by its unique id, in order of
// time. traceTopic is TraceTopic when it is "". The error for a cluster without trace is
// a message.ErrNoRoute.
func (c *Client) Trace(ctx context.Context, id string, in Between, traceTopic string) ([]TraceEvent, error) {
	const most = 256 // messages of trace, with many events each
	ds, err := c.MessagesByKey(ctx, cmp.Or(traceTopic, TraceTopic), id, in, most)
	if err != nil {
		return nil, fmt.Errorf("trace of message %s: %w", id, err)
	}
	var events []TraceEvent
	for _, d := range ds {
		for _, e := range traceEvents(string(d.Body)) {
			if e.ID == id {
				events = append(events, e)
			}
		}
	}
	for i := range events { // a SubAfter may lack what its SubBefore has
		if e := &events[i]; e.Type == "SubAfter" {
			for _, b := range events {
				if b.Type == "SubBefore" && b.Request == e.Request {
					e.Group = cmp.Or(e.Group, b.Group)
					if e.Time.IsZero() {
						e.Time = b.Time.Add(e.Cost)
					}
				}
			}
		}
	}
	slices.SortStableFunc(events, func(a, b TraceEvent) int { return a.Time.Compare(b.Time) })
	return events, nil
}

// traceEvents are the events of a trace topic's message.
func traceEvents(text string) []TraceEvent {
	records := protocol.ParseTraceRecords(text)
	events := make([]TraceEvent, 0, len(records))
	for _, r := range records {
		e := TraceEvent{
			Type: r.Type, Region: r.Region, Group: r.Group, Topic: r.Topic, ID: r.MsgID, Keys: r.Keys, Cost: time.Duration(r.Cost) * time.Millisecond, Success: r.Success,
			Request: r.RequestID, Retries: r.RetryTimes, State: r.TransactionState, FromCheck: r.FromCheck,
		}
		if r.Timestamp > 0 {
			e.Time = time.UnixMilli(r.Timestamp)
		}
		switch r.Type {
		case protocol.TracePub:
			e.MessageType = nameOf(r.MsgType, "Normal_Msg", "Trans_Msg_Half", "Trans_msg_Commit", "Delay_Msg", "Order_Msg")
		case protocol.TraceSubAfter:
			e.Outcome = nameOf(r.ContextCode, "SUCCESS", "TIME_OUT", "EXCEPTION", "RETURNNULL", "FAILED")
		}
		events = append(events, e)
	}
	return events
}

// nameOf is the name of a Java enum's ordinal, "" for one that is not known here.
func nameOf(ordinal int, names ...string) string {
	if ordinal >= len(names) {
		return ""
	}
	return names[ordinal]
}
