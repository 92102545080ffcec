package redeliver

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Appender is the part of the store that a Group needs.
type Appender interface{ Append(*store.Append) }

// Group is a number of appends that are waited for together. It belongs to one
// goroutine and can be used again after Wait.
type Group struct {
	store Appender
	items []*item
	free  []*item
	wg    sync.WaitGroup
}

// item is one append of a Group. result belongs to the store until the group's
// wg says that it is done.
type item struct {
	g      *Group
	append store.Append
	tags   [1]int64
	result store.AppendResult
}

// keptBytes is the largest buffer that a Group keeps for the next records.
const keptBytes = 16 << 10

// NewGroup makes an empty group.
func NewGroup(s Appender) *Group { return &Group{store: s} }

// Append adds a record to its topic and queue. An error is about the record: it
// can never be stored.
func (g *Group) Append(r *protocol.Record, tagsCode int64) error {
	it := g.take()
	records, err := protocol.AppendRecord(it.append.Records[:0], r)
	if err != nil {
		g.free = append(g.free, it)
		return err
	}
	it.tags[0] = tagsCode
	it.append = store.Append{Topic: r.Topic, QueueID: r.QueueID, Records: records, TagsCodes: it.tags[:], Done: it}
	g.items = append(g.items, it)
	g.wg.Add(1)
	g.store.Append(&it.append)
	return nil
}

func (g *Group) take() *item {
	if n := len(g.free); n > 0 {
		it := g.free[n-1]
		g.free = g.free[:n-1]
		return it
	}
	return &item{g: g}
}

// Appended implements store.Completion.
func (it *item) Appended(r store.AppendResult) {
	it.result = r
	it.g.wg.Done()
}

// Len is the number of appends since the last Wait.
func (g *Group) Len() int { return len(g.items) }

// Wait waits for all appends and returns how many, from the first on, are done with
// without a gap, and the error of the first that is not. Done with are those that
// are stored, and those that never can be: see Refused. each, unless nil, is called
// for every one in order.
func (g *Group) Wait(each func(i int, r store.AppendResult)) (done int, err error) {
	g.wg.Wait()
	for i, it := range g.items {
		if each != nil {
			each(i, it.result)
		}
		switch {
		case err != nil:
		case it.result.Err != nil && !Refused(it.result.Err):
			err = it.result.Err
		default:
			done++
		}
	}
	for _, it := range g.items {
		if cap(it.append.Records) > keptBytes {
			it.append.Records = nil
		}
	}
	g.free = append(g.free, g.items...)
	g.items = g.items[:0]
	return done, err
}

// Refused reports whether an append failed because of what it was, so that trying
// again will not help.
func Refused(err error) bool {
	return errors.Is(err, store.ErrBadAppend) || errors.Is(err, store.ErrTooLarge)
}

// Lost reports whether a read failed because the record is damaged or gone, so that
// reading again will not help.
func Lost(err error) bool {
	var damaged *store.CorruptionError
	return errors.As(err, &damaged) || errors.Is(err, store.ErrNoRecord)
}

// Dropped is the level at which a message is logged that an error keeps from being
// delivered: what a client has sent so that it can never be stored again is no error of
// the server's.
func Dropped(err error) slog.Level {
	if Lost(err) {
		return slog.LevelError
	}
	return slog.LevelWarn
}

// Real reads where a message is to go that was stored under a topic of the
// broker's own: REAL_TOPIC and REAL_QID.
func Real(properties []byte) (topic string, queueID int32, err error) {
	var id []byte
	for k, v := range protocol.EachProperty(properties) {
		switch string(k) {
		case protocol.PropRealTopic:
			topic = string(v)
		case protocol.PropRealQueueID:
			id = v
		}
	}
	n, err := strconv.ParseInt(string(id), 10, 32)
	if topic == "" || err != nil || n < 0 {
		return "", 0, fmt.Errorf("REAL_TOPIC is %q and REAL_QID %q", topic, id)
	}
	return topic, int32(n), nil
}
