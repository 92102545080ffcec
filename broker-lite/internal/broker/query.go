package broker

import (
	"context"
	"errors"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/index"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Code 12 QUERY_MESSAGE (QueryMessageProcessor, DefaultMessageStore.queryMessage,
// IndexService). The answer's body has the newest messages of a topic that have a
// key, in the order of the log.
//
// Both versions find a message by each of its keys and by its unique key, whatever
// kind is asked for: the index does not tell them apart, and the clients sort out
// what does not fit. With _UNIQUE_KEY_QUERY=true they give out defaultQueryMaxNum
// messages whatever maxNum says. 5.x also indexes the tags (indexType T); 4.9, which
// does not know indexType, would look for a key of that name. lastKey belongs to
// 5.x's RocksDB index; nobody reads it.
//
// Unlike Apache's this one looks at a record before it gives it out, so that two keys
// with one hash are told apart, and compares its store time to the millisecond.

// queries bounds the queries that run at once: each may wait for the index and read
// many records.
type queries struct {
	running chan struct{} // holds one for each
}

const (
	maxQueries = 8
	// queryTimeout is when a query gives up: Java's tools wait 15 s for it, and
	// rocketmq-client-go 6 s.
	queryTimeout = 5 * time.Second
	// queryCost is what a query takes of its connection's maxInFlight, until it is
	// answered.
	queryCost = 64 << 10
	// maxQueryBytes bounds an answer: Java's clients take frames of 16 MiB.
	maxQueryBytes = 4 << 20
)

func newQueries() *queries { return &queries{running: make(chan struct{}, maxQueries)} }

func (b *Broker) queryHandlers() handlers {
	return handlers{protocol.QueryMessage: b.handleQuery}
}

func (b *Broker) handleQuery(p *peer, cmd *protocol.Command) {
	var h protocol.QueryMessageRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		b.reply(p.conn, cmd, failed(err))
		return
	}
	if a := unreadable(cmd, h.Topic); a != nil {
		b.reply(p.conn, cmd, *a)
		return
	}
	if b.index == nil {
		b.reply(p.conn, cmd, notFound())
		return
	}
	if !p.acquire(queryCost) {
		return
	}
	request := *cmd
	request.Fields, request.Body = nil, nil
	b.spawn(func() {
		defer p.release(queryCost)
		ctx, cancel := context.WithTimeout(b.ctx, queryTimeout)
		defer cancel()
		select {
		case b.queries.running <- struct{}{}:
			defer func() { <-b.queries.running }()
			b.reply(p.conn, &request, b.query(ctx, &h))
		case <-ctx.Done():
			b.reply(p.conn, &request, refuse(protocol.SystemBusy, "[TIMEOUT_CLEAN_QUEUE]broker busy, %d queries by key are running; ask again later", maxQueries))
		}
	})
}

func (b *Broker) query(ctx context.Context, h *protocol.QueryMessageRequest) answer {
	q := index.Query{
		Topic: h.Topic, Key: h.Key, Begin: h.BeginTimestamp, End: h.EndTimestamp,
		Max: int(h.MaxNum), MaxBytes: maxQueryBytes, Any: h.UniqueKey.Value,
	}
	switch {
	case h.UniqueKey.Value:
		q.Max = b.conf().DefaultQueryMaxNum
	case h.IndexType == protocol.IndexTag:
		q.Kind = index.ByTags
	}
	q.Max = min(q.Max, b.conf().MaxMsgsNumBatch)
	r, err := b.index.Query(ctx, q)
	var building *index.BuildingError
	switch {
	case errors.As(err, &building):
		return answer{code: protocol.SystemBusy, remark: err.Error()}
	case err != nil:
		return failed(err)
	case r.Count == 0:
		return notFound()
	}
	return answer{
		header: &protocol.QueryMessageResponse{IndexLastUpdateTimestamp: r.LastTime, IndexLastUpdatePhyOffset: r.LastOffset},
		body:   r.Records,
	}
}

func notFound() answer {
	return answer{code: protocol.QueryNotFound, remark: "can not find message, maybe time range not correct", header: &protocol.QueryMessageResponse{}}
}
