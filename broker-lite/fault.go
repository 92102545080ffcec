package brokerlite

import (
	"net"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Request is a request that has come in, as Intercept shows it.
type Request struct {
	NameServer bool   // it came to the name server, not to the broker
	Code       int    // such as 310
	Name       string // such as "SEND_MESSAGE_V2"
	Topic      string // "" when the request names none
	Group      string // the producer's or the consumer's
	Oneway     bool
	Client     net.Addr
	Body       []byte // valid during the call only
}

// Reaction is what becomes of a request. The zero value serves it as usual.
type Reaction struct {
	kind   reactionKind
	code   protocol.Code
	remark string
	delay  time.Duration
	times  int // 0: every time
}

type reactionKind uint8

const (
	pass reactionKind = iota
	answerWith
	dropRequest
	dropAnswer
	replaceAnswer
	closeConn
)

// Pass serves a request as usual.
func Pass() Reaction { return Reaction{} }

// Answer answers a request with a response code and a remark, and does not serve
// it: Answer(2, "busy") is a broker that is overloaded.
func Answer(code int, remark string) Reaction {
	return Reaction{kind: answerWith, code: protocol.Code(code), remark: remark}
}

// ReplaceAnswer serves a request, and answers it with another response code; the
// answer's fields stay. ReplaceAnswer(10) on a send is FLUSH_DISK_TIMEOUT: stored,
// but not known to be durable. The name server answers without serving.
func ReplaceAnswer(code int) Reaction {
	return Reaction{kind: replaceAnswer, code: protocol.Code(code)}
}

// DropRequest neither serves a request nor answers it.
func DropRequest() Reaction { return Reaction{kind: dropRequest} }

// DropAnswer serves a request and does not answer it: the client cannot know what
// became of it.
func DropAnswer() Reaction { return Reaction{kind: dropAnswer} }

// CloseConnection closes the connection that a request comes by, without serving
// it.
func CloseConnection() Reaction { return Reaction{kind: closeConn} }

// After is a reaction that comes later, in package time: Pass().After(d) is a slow
// server.
func (r Reaction) After(d time.Duration) Reaction {
	r.delay = d
	return r
}

// Times is a reaction to the first n requests that match. It counts for Fault
// only.
func (r Reaction) Times(n int) Reaction {
	r.times = n
	return r
}

// Match chooses requests. Its zero value chooses all that come to the broker.
type Match struct {
	NameServer bool // requests to the name server, instead of the broker's
	// Code is the request's code; 0 for any. The forms of one request count as one:
	// 310 is for 10 and 320 too, and 11 for 361.
	Code  int
	Topic string // "" for any
	Group string // "" for any
}

// Matches says whether a request is one of those.
func (m Match) Matches(r Request) bool {
	return m.NameServer == r.NameServer && (m.Code == 0 || sameCode(m.Code) == sameCode(r.Code)) &&
		(m.Topic == "" || m.Topic == r.Topic) && (m.Group == "" || m.Group == r.Group)
}

func sameCode(code int) protocol.Code {
	switch c := protocol.Code(code); c {
	case protocol.SendMessage, protocol.SendBatchMessage:
		return protocol.SendMessageV2
	case protocol.LitePullMessage:
		return protocol.PullMessage
	default:
		return c
	}
}

// Fault makes the server treat requests that match as the reaction says, until
// stop is called, or as often as Times says:
//
//	b.Fault(brokerlite.Match{Code: 310}, brokerlite.Answer(2, "busy").Times(3))
//
// Faults are asked in the order in which they were set; the first that matches
// decides.
func (b *Broker) Fault(m Match, r Reaction) (stop func()) {
	var mu sync.Mutex
	left := r.times
	return b.Intercept(func(req Request) (Reaction, bool) {
		if !m.Matches(req) {
			return Reaction{}, false
		}
		if r.times == 0 {
			return r, true
		}
		mu.Lock()
		defer mu.Unlock()
		left--
		return r, left >= 0
	})
}

// Intercept asks f about every request, until stop is called. ok is false for
// requests that f leaves to others. f is called on the connections' readers, by
// several at a time, and must not block.
func (b *Broker) Intercept(f func(Request) (r Reaction, ok bool)) (stop func()) {
	return b.faults.add(f)
}
