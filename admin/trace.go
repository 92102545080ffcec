package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
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
	// Cost is how long the send or the handler took.
	Cost    time.Duration
	Success bool // of Pub, SubAfter and Recall
	// Request joins a SubBefore with its SubAfter.
	Request string
	// Retries is how often the message was tried before, of SubBefore.
	Retries int
	// State is a transaction's, such as COMMIT_MESSAGE.
	State string
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

// traceEvents reads what TraceDataEncoder writes: events that end with \x02, of words
// with \x01 between. Those that are of no known kind, or too short, are passed over.
func traceEvents(text string) []TraceEvent {
	var events []TraceEvent
	for line := range strings.SplitSeq(text, "\x02") {
		w := words(strings.Split(line, "\x01"))
		e := TraceEvent{Type: w.at(0)}
		switch e.Type {
		case "Pub":
			e.Time, e.Group, e.Topic, e.ID, e.Keys, e.Cost = w.time(1), w.at(3), w.at(4), w.at(5), w.at(7), w.cost(10)
			e.Success = w.at(13) == "true" || len(w) == 13 && w.at(12) == "true" // without the offset id
		case "SubBefore":
			e.Time, e.Group, e.Request, e.ID, e.Keys = w.time(1), w.at(3), w.at(4), w.at(5), w.at(7)
			e.Retries, _ = strconv.Atoi(w.at(6))
		case "SubAfter":
			e.Request, e.ID, e.Cost, e.Success, e.Keys = w.at(1), w.at(2), w.cost(3), w.at(4) == "true", w.at(5)
			e.Time, e.Group = w.time(7), w.at(8)
		case "EndTransaction":
			e.Time, e.Group, e.Topic, e.ID, e.Keys, e.State = w.time(1), w.at(3), w.at(4), w.at(5), w.at(7), w.at(11)
		case "Recall":
			e.Time, e.Group, e.Topic, e.ID, e.Success = w.time(1), w.at(3), w.at(4), w.at(5), w.at(6) == "true"
		default:
			continue
		}
		events = append(events, e)
	}
	return events
}

// words are an event's.
type words []string

// at is a word, "" when it is missing or Java had none.
func (w words) at(i int) string {
	if i >= len(w) || w[i] == "null" {
		return ""
	}
	return w[i]
}

func (w words) time(i int) time.Time {
	ms, err := strconv.ParseInt(w.at(i), 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func (w words) cost(i int) time.Duration {
	ms, err := strconv.ParseInt(w.at(i), 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}
