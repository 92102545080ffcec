package protocol

import (
	"strconv"
	"strings"
)

// Steps of a message that clients trace (TraceType).
const (
	TracePub            = "Pub"            // sent
	TraceSubBefore      = "SubBefore"      // a handler's run begins
	TraceSubAfter       = "SubAfter"       // it has ended
	TraceEndTransaction = "EndTransaction" // a half message was decided about
	TraceRecall         = "Recall"         // a timer message was called back
)

// TraceRecord is one step of a message, as clients write it into the bodies of the
// trace topic's messages (TraceDataEncoder): words with \x01 between, and \x02 at the
// end. Which of the fields there are, and their order, depends on the type.
type TraceRecord struct {
	Type      string
	Timestamp int64 // ms since 1970; a SubAfter has it since 4.9.4
	Region    string
	Group     string
	Topic     string
	MsgID     string // the unique id
	Tags      string
	Keys      string // with a blank between
	StoreHost string // the broker's address
	// BodyLength is in bytes.
	BodyLength int
	// Cost is how long a send or a handler's run took, in ms.
	Cost int64
	// MsgType is a MessageType's ordinal.
	MsgType     int
	OffsetMsgID string
	Success     bool
	// RequestID joins a SubBefore with its SubAfter.
	RequestID string
	// RetryTimes is how often the message was consumed before.
	RetryTimes int
	// ContextCode is a ConsumeReturnType's ordinal.
	ContextCode int
	// TransactionState is COMMIT_MESSAGE, ROLLBACK_MESSAGE or UNKNOW.
	TransactionState string
	TransactionID    string
	// FromCheck says that the broker had asked.
	FromCheck bool
}

// Ordinals of MessageType, which is what a Pub and an EndTransaction say of the message.
const (
	TraceNormal = iota
	TraceHalf
	TraceCommit
	TraceDelay
	TraceOrder
)

const (
	traceWord = '\x01'
	traceEnd  = '\x02'
)

// AppendTraceRecord appends r as TraceDataEncoder.encoderFromContextBean of 5.4.0
// writes it, which is that of 4.9.7 but for Recall. A record of another type appends
// nothing. Separators within words become blanks.
func AppendTraceRecord(dst []byte, r *TraceRecord) []byte {
	w := traceWriter(dst)
	switch r.Type {
	case TracePub:
		w.texts(r.Type).number(r.Timestamp).texts(r.Region, r.Group, r.Topic, r.MsgID).nullable(r.Tags, r.Keys).texts(r.StoreHost)
		w.number(int64(r.BodyLength)).number(r.Cost).number(int64(r.MsgType)).texts(r.OffsetMsgID).flag(r.Success)
	case TraceSubBefore:
		w.texts(r.Type).number(r.Timestamp).texts(r.Region, r.Group, r.RequestID, r.MsgID).number(int64(r.RetryTimes)).nullable(r.Keys)
	case TraceSubAfter:
		w.texts(r.Type, r.RequestID, r.MsgID).number(r.Cost).flag(r.Success).nullable(r.Keys).number(int64(r.ContextCode)).
			number(r.Timestamp).texts(r.Group)
	case TraceEndTransaction:
		w.texts(r.Type).number(r.Timestamp).texts(r.Region, r.Group, r.Topic, r.MsgID).nullable(r.Tags, r.Keys).texts(r.StoreHost)
		w.number(int64(r.MsgType)).nullable(r.TransactionID).texts(r.TransactionState).flag(r.FromCheck)
	case TraceRecall:
		w.texts(r.Type).number(r.Timestamp).texts(r.Region, r.Group, r.Topic, r.MsgID).flag(r.Success)
	default:
		return dst
	}
	w[len(w)-1] = traceEnd
	return w
}

// traceWriter writes words with a separator behind each.
type traceWriter []byte

func (w *traceWriter) texts(texts ...string) *traceWriter {
	for _, s := range texts {
		at := len(*w)
		*w = append(*w, s...)
		for i := at; i < len(*w); i++ {
			if c := (*w)[i]; c == traceWord || c == traceEnd {
				(*w)[i] = ' '
			}
		}
		*w = append(*w, traceWord)
	}
	return w
}

// nullable writes texts of which Java writes a missing one as "null".
func (w *traceWriter) nullable(texts ...string) *traceWriter {
	for _, s := range texts {
		if s == "" {
			s = "null"
		}
		w.texts(s)
	}
	return w
}

func (w *traceWriter) number(n int64) *traceWriter {
	*w = append(strconv.AppendInt(*w, n, 10), traceWord)
	return w
}

func (w *traceWriter) flag(b bool) *traceWriter {
	*w = append(strconv.AppendBool(*w, b), traceWord)
	return w
}

// ParseTraceRecords reads the body of a trace topic's message, whichever client wrote
// it. Records that are of no known type are passed over; words that are missing, or that
// Java had none for, are zero values.
func ParseTraceRecords(text string) []TraceRecord {
	var records []TraceRecord
	for line := range strings.SplitSeq(text, string(traceEnd)) {
		w := traceWords(strings.Split(line, string(traceWord)))
		r := TraceRecord{Type: w.text(0)}
		switch r.Type {
		case TracePub:
			w.head(&r)
			r.Topic, r.MsgID, r.Tags, r.Keys, r.StoreHost = w.text(4), w.text(5), w.text(6), w.text(7), w.text(8)
			r.BodyLength, r.Cost, r.MsgType = int(w.number(9)), w.number(10), int(w.number(11))
			if len(w) == 13 { // of a client that leaves out the offset id
				r.Success = w.flag(12)
			} else {
				r.OffsetMsgID, r.Success = w.text(12), w.flag(13)
			}
		case TraceSubBefore:
			w.head(&r)
			r.RequestID, r.MsgID, r.RetryTimes, r.Keys = w.text(4), w.text(5), int(w.number(6)), w.text(7)
		case TraceSubAfter:
			r.RequestID, r.MsgID, r.Cost, r.Success, r.Keys = w.text(1), w.text(2), w.number(3), w.flag(4), w.text(5)
			r.ContextCode, r.Timestamp, r.Group = int(w.number(6)), w.timestamp(7), w.text(8)
		case TraceEndTransaction:
			w.head(&r)
			r.Topic, r.MsgID, r.Tags, r.Keys, r.StoreHost = w.text(4), w.text(5), w.text(6), w.text(7), w.text(8)
			r.MsgType, r.TransactionID, r.TransactionState, r.FromCheck = int(w.number(9)), w.text(10), w.text(11), w.flag(12)
		case TraceRecall:
			w.head(&r)
			r.Topic, r.MsgID, r.Success = w.text(4), w.text(5), w.flag(6)
		default:
			continue
		}
		records = append(records, r)
	}
	return records
}

// traceWords are a record's.
type traceWords []string

// head reads what all types but SubAfter begin with.
func (w traceWords) head(r *TraceRecord) {
	r.Timestamp, r.Region, r.Group = w.timestamp(1), w.text(2), w.text(3)
}

func (w traceWords) text(i int) string {
	if i >= len(w) || w[i] == "null" {
		return ""
	}
	return w[i]
}

// number is one that Java's int takes and that is not negative, 0 for anything else.
func (w traceWords) number(i int) int64 {
	n, err := strconv.ParseUint(w.text(i), 10, 31)
	if err != nil {
		return 0
	}
	return int64(n)
}

func (w traceWords) timestamp(i int) int64 {
	n, err := strconv.ParseUint(w.text(i), 10, 63)
	if err != nil {
		return 0
	}
	return int64(n)
}

func (w traceWords) flag(i int) bool { return w.text(i) == "true" }
