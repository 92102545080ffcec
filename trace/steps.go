package trace

import (
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// Published is a message that a broker has answered for.
type Published struct {
	Group   string
	Message *message.Message
	Result  message.SendResult
	// Addr is the broker's "host:port", "" when not known.
	Addr string
	// Region is what the broker says of itself.
	Region string
	// Half says that it is a half message.
	Half bool
	// Began is when the send did.
	Began time.Time
}

// Published writes a Pub. As with Java's clients, a send without an answer has none, so
// that a oneway one never has.
func (t *MessageTracer) Published(s *Published) {
	if t == nil || t.skips(s.Message.Topic) {
		return
	}
	kind := protocol.TraceNormal
	switch {
	case s.Half:
		kind = protocol.TraceHalf
	case !s.Message.Delay.IsZero():
		kind = protocol.TraceDelay
	}
	t.add(&protocol.TraceRecord{
		Type: protocol.TracePub, Timestamp: s.Began.UnixMilli(), Region: s.Region, Group: s.Group, Topic: s.Message.Topic,
		MsgID: s.Result.MessageID, Tags: s.Message.Tag, Keys: strings.Join(s.Message.Keys, " "), StoreHost: s.Addr,
		BodyLength: len(s.Message.Body), Cost: time.Since(s.Began).Milliseconds(), MsgType: kind,
		OffsetMsgID: s.Result.OffsetMessageID, Success: s.Result.Status == message.SendOK,
	})
}

// Decided is a half message that was decided about.
type Decided struct {
	Group, Topic, ID string
	Tag              string
	Keys             []string
	// Addr is the broker's "host:port".
	Addr string
	// Region is what the message says of its broker.
	Region string
	// Commit and Rollback are the decision; without either it is open.
	Commit, Rollback bool
	// FromCheck says that the broker had asked.
	FromCheck bool
}

// Decided writes an EndTransaction.
func (t *MessageTracer) Decided(d *Decided) {
	if t == nil || t.skips(d.Topic) {
		return
	}
	state := "UNKNOW"
	switch {
	case d.Commit:
		state = "COMMIT_MESSAGE"
	case d.Rollback:
		state = "ROLLBACK_MESSAGE"
	}
	t.add(&protocol.TraceRecord{
		Type: protocol.TraceEndTransaction, Timestamp: time.Now().UnixMilli(), Region: d.Region, Group: d.Group, Topic: d.Topic,
		MsgID: d.ID, Tags: d.Tag, Keys: strings.Join(d.Keys, " "), StoreHost: d.Addr, MsgType: protocol.TraceCommit,
		TransactionID: d.ID, TransactionState: state, FromCheck: d.FromCheck,
	})
}

// Checked writes the EndTransaction of a half message that the broker has asked about, unless
// that has the message trace off.
func (t *MessageTracer) Checked(group string, d *message.Delivery, commit, rollback bool) {
	if t == nil {
		return
	}
	p := traceProperties(d)
	if p.off {
		return
	}
	addr := ""
	if d.StoreHost.IsValid() {
		addr = d.StoreHost.String()
	}
	t.Decided(&Decided{
		Group: group, Topic: d.Topic, ID: d.ID, Tag: d.Tag, Keys: strings.Fields(p.keys), Addr: addr, Region: p.region,
		Commit: commit, Rollback: rollback, FromCheck: true,
	})
}

// Recalled writes a Recall of the message that handle, a SendResult's, stands for. region is
// what the broker says of itself.
func (t *MessageTracer) Recalled(group, topic, handle, region string, success bool) {
	if t == nil || t.skips(topic) {
		return
	}
	h, err := protocol.ParseRecallHandle(handle)
	if err != nil {
		return // it stands for none, and the caller has been told
	}
	t.add(&protocol.TraceRecord{
		Type: protocol.TraceRecall, Timestamp: time.Now().UnixMilli(), Region: region, Group: group, Topic: topic, MsgID: h.UniqueKey, Success: success,
	})
}

// Ending is what a handler's run came to (Java's ConsumeReturnType).
type Ending int

// Endings of a handler's run.
const (
	EndedWell      Ending = iota // SUCCESS
	EndedLate                    // TIME_OUT: after the consume time-out, whatever it returned
	EndedByPanic                 // EXCEPTION
	EndedWithout                 // RETURNNULL: it never returned
	EndedInFailure               // FAILED
)

// Run is a handler's run under way, or what a program does with a message that it asked for.
// nil and the zero value are none.
type Run struct {
	tracer  *MessageTracer
	group   string
	request requestID
	began   time.Time
	of      int
}

// StartRun writes a SubBefore for each of the messages that a handler or a program gets at once. The
// caller writes what each came to with End.
func (t *MessageTracer) StartRun(group string, ds ...*message.Delivery) Run {
	if t == nil || len(ds) == 0 || t.skips(ds[0].Topic) {
		return Run{}
	}
	r := Run{tracer: t, group: group, request: t.newRequest(), began: time.Now(), of: len(ds)}
	for _, d := range ds {
		p := traceProperties(d)
		if p.off {
			continue
		}
		t.add(&protocol.TraceRecord{
			Type: protocol.TraceSubBefore, Timestamp: r.began.UnixMilli(), Region: p.region, Group: group,
			RequestID: string(r.request[:]), MsgID: d.ID, RetryTimes: d.ReconsumeTimes, Keys: p.keys,
		})
	}
	return r
}

// End writes the SubAfter of one of the run's messages; handled says that it is
// acknowledged as such.
func (r *Run) End(d *message.Delivery, handled bool, how Ending) {
	if r == nil || r.tracer == nil {
		return
	}
	p := traceProperties(d)
	if p.off {
		return
	}
	now := time.Now()
	r.tracer.add(&protocol.TraceRecord{
		Type: protocol.TraceSubAfter, Timestamp: now.UnixMilli(), Region: p.region, Group: r.group,
		RequestID: string(r.request[:]), MsgID: d.ID, Keys: p.keys, Cost: now.Sub(r.began).Milliseconds() / int64(r.of),
		Success: handled, ContextCode: int(how),
	})
}

// traceProps are the properties that the trace of a received message needs.
type traceProps struct {
	keys, region string
	off          bool // the broker has tracing off
}

func traceProperties(d *message.Delivery) (p traceProps) {
	for k, v := range d.Properties() {
		switch k {
		case protocol.PropKeys:
			p.keys = v
		case protocol.PropMsgRegion:
			p.region = v
		case protocol.PropTraceOn:
			p.off = v == "false"
		}
	}
	return p
}
