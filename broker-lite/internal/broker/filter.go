package broker

import (
	"slices"

	"github.com/rocketkit/rocketkit/broker-lite/internal/session"
	"github.com/rocketkit/rocketkit/broker-lite/internal/sqlfilter"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Code 46 CHECK_CLIENT_CONFIG (ClientManageProcessor): a client asks, before it
// subscribes, whether the broker takes its expression. 4.9 and 5.x do the same. And
// the filters of pulls (ConsumerFilterManager, ExpressionMessageFilter):
//
//   - A subscription of a heartbeat is compiled once; a pull of a group whose
//     expression is wrong is FILTER_DATA_NOT_EXIST. FILTER_DATA_NOT_LATEST is never
//     due: an expression and its subscription come and go together here.
//   - A pull that carries an expression which is wrong is SUBSCRIPTION_PARSE_FAILED.
//     Apache means to say so too, but answers with all messages: it relies on a Java
//     assertion.
//   - Messages of %RETRY% topics are filtered by the subscription to that topic, which
//     is "*" with all clients, as on Apache without filterSupportRetry.
//   - A pop looks at its own expression, whether enablePropertyFilter is on or not, and
//     its wrong one is SUBSCRIPTION_PARSE_FAILED, as on Apache.
//   - A subscription in class filter mode takes all here, as on Apache: clients ask a
//     filter server of such ones, and find none.

// filter is what a consumer takes of a queue: all, by the tags' hashes, or by an
// expression over the properties.
type filter struct {
	some  bool // not all
	codes []int32
	sql   *sqlfilter.Expr
	holds int // bytes, about, of an expression that a pull has brought
}

func tagFilter(s *protocol.SubscriptionData) filter {
	if s.MatchesAll() || s.ClassFilterMode {
		return filter{}
	}
	return filter{some: true, codes: s.CodeSet}
}

// matches reports whether a message may match, by its tags' hash.
func (f filter) matches(tagsCode int64) bool {
	return !f.some || f.sql != nil || slices.Contains(f.codes, int32(tagsCode))
}

// read reads what a filter takes of a queue.
func (b *Broker) read(f filter, topic string, queueID int32, offset int64, messages, bytes int, dst []byte) (store.ReadResult, error) {
	if f.sql != nil {
		return b.store.ReadMatching(topic, queueID, offset, messages, bytes, f.records(), dst)
	}
	var match func(int64) bool
	if f.some {
		match = f.matches
	}
	return b.store.Read(topic, queueID, offset, messages, bytes, match, dst)
}

// records makes a function that tells whether the expression takes a record. It is
// for one goroutine. What cannot be decoded goes to the client, whose it is to judge.
func (f filter) records() func(record []byte) bool {
	var r protocol.Record
	return func(record []byte) bool {
		_, err := protocol.DecodeRecord(record, &r)
		return err != nil || f.sql.Match(r.Properties)
	}
}

// filterCache keeps the filters of the expressions that a connection's pulls carry,
// unless they are long. It belongs to the connection's reader.
type filterCache struct {
	entries [8]cachedFilter
	next    int
}

// maxCachedExpr is the longest expression that is kept, in bytes: a frame has room
// for 16 MiB.
const maxCachedExpr = 4 << 10

type cachedFilter struct {
	kind, expr string
	filter     filter
	known      bool
}

// sizeOfCompiled is about how many bytes a compiled expression holds for each byte of
// its text.
const sizeOfCompiled = 16

func (b *Broker) parseFilter(c *filterCache, topic, kind, expr string) (filter, error) {
	for i := range c.entries {
		if e := &c.entries[i]; e.known && e.expr == expr && e.kind == kind {
			return e.filter, nil
		}
	}
	e := cachedFilter{kind: kind, expr: expr, known: true}
	if tagType(kind) {
		s, err := protocol.BuildTagSubscription(topic, expr)
		if err != nil {
			return filter{}, err
		}
		e.filter = tagFilter(&s)
	} else {
		sql, err := session.Compile(&protocol.SubscriptionData{Topic: topic, SubString: expr, ExpressionType: kind})
		if err != nil {
			return filter{}, err
		}
		e.filter = filter{some: true, sql: sql, holds: sizeOfCompiled * len(expr)}
		if sql.Ignored() != "" {
			b.logger.Warn("a part of a pull's expression is never read", "topic", topic, "expression", sql.String(), "ignored", sql.Ignored())
		}
	}
	if len(expr) > maxCachedExpr {
		return e.filter, nil
	}
	c.entries[c.next] = e
	c.next = (c.next + 1) % len(c.entries)
	return e.filter, nil
}

func tagType(kind string) bool { return kind == "" || kind == protocol.ExpressionTag }

// filterOfGroup is the filter of a pull without an expression of its own.
func (b *Broker) filterOfGroup(s *session.Subscription) (filter, *answer) {
	switch {
	case s.Data.TagType():
		return tagFilter(s.Data), nil
	case s.Filter == nil:
		a := refuse(protocol.FilterDataNotExist, "The broker's consumer filter data is not exist!Your expression may be wrong!")
		return filter{}, &a
	case !b.conf().PropertyFilter:
		return filter{}, noExpressions(s.Data.ExpressionType)
	case s.Data.ClassFilterMode:
		return filter{}, nil
	}
	return filter{some: true, sql: s.Filter}, nil
}

// filterOfPull is the filter that a pull carries.
func (b *Broker) filterOfPull(p *peer, h *protocol.PullRequest) (filter, *answer) {
	f, err := b.parseFilter(&p.filters, h.Topic, h.ExpressionType, h.Subscription)
	if err != nil {
		a := refuse(protocol.SubscriptionParse, "parse the consumer's subscription failed: %v", err)
		return f, &a
	}
	if f.sql != nil && !b.conf().PropertyFilter {
		return f, noExpressions(h.ExpressionType)
	}
	return f, nil
}

// noExpressions is Apache's answer while enablePropertyFilter is off.
func noExpressions(kind string) *answer {
	a := refuse(protocol.SystemError, "The broker does not support consumer to filter message by %s", kind)
	return &a
}

func (b *Broker) checkClient(_ *peer, cmd *protocol.Command) answer {
	var body protocol.CheckClientRequest
	if err := protocol.DecodeBody(cmd.Body, &body); err != nil {
		return failed(err)
	}
	s := body.Subscription
	switch {
	case s == nil || s.TagType():
		return answer{}
	case !b.conf().PropertyFilter:
		return *noExpressions(s.ExpressionType)
	}
	expr, err := session.Compile(s)
	if err != nil {
		b.logger.Warn("a client's expression is wrong", "client", body.ClientID, "group", body.Group, "topic", s.Topic, "err", err)
		return refuse(protocol.SubscriptionParse, "%v", err)
	}
	if expr.Ignored() != "" {
		b.logger.Warn("a part of a client's expression is never read", "client", body.ClientID, "group", body.Group, "topic", s.Topic,
			"expression", expr.String(), "ignored", expr.Ignored())
	}
	return answer{}
}

// recordAt reads the record at an offset of a queue; nil: it cannot be read.
func (b *Broker) recordAt(topic string, queueID int32, offset int64) []byte {
	e, ok, err := b.store.Entry(topic, queueID, offset)
	if err != nil || !ok {
		return nil
	}
	record, err := b.store.ReadEntry(e, nil)
	if err != nil {
		return nil
	}
	return record
}
