package halfmsg

import (
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Refusal is a request to end a transaction that is not followed.
type Refusal struct {
	Code   protocol.Code
	Remark string
}

func (e *Refusal) Error() string { return e.Remark }

func refuse(format string, args ...any) error {
	return &Refusal{protocol.SystemError, fmt.Sprintf(format, args...)}
}

// End commits or rolls back a half message (code 37, EndTransactionProcessor).
// done is called once, with nil when the outcome is stored, with a *Refusal, or
// with the store's error; on the caller's goroutine or the store's, where it must
// not block.
func (s *Service) End(req *protocol.EndTransactionRequest, done func(error)) {
	commit := req.CommitOrRollback == protocol.SysCommit
	rec, h, err := s.claim(req)
	if err != nil {
		done(err)
		return
	}
	if !commit {
		s.ops.add(opItem{offset: h.offset, half: h, done: done})
		return
	}
	e := &committing{s: s, half: h, done: done}
	if err := e.encode(rec, req.CommitLogOffset); err != nil {
		s.unclaim(h)
		done(&Refusal{protocol.MessageIllegal, "The message is illegal: " + err.Error()})
		return
	}
	s.o.Store.Append(&e.append)
}

// claim checks a request against its half message and keeps others from ending
// that meanwhile.
func (s *Service) claim(req *protocol.EndTransactionRequest) (*protocol.Record, *half, error) {
	raw, err := s.o.Store.ReadRecord(req.CommitLogOffset)
	if err != nil {
		if redeliver.Lost(err) {
			err = refuse("Find prepared transaction message failed")
		}
		return nil, nil, err
	}
	var r protocol.Record
	if _, err := protocol.DecodeRecord(raw, &r); err != nil || r.Topic != meta.HalfTopic {
		return nil, nil, refuse("Find prepared transaction message failed")
	}
	if pgroup, _ := protocol.Property(r.Properties, protocol.PropProducerGroup); pgroup != req.ProducerGroup {
		return nil, nil, refuse("The producer group wrong")
	}
	if r.QueueOffset != req.TranStateTableOffset {
		return nil, nil, refuse("The transaction state table offset wrong")
	}
	if s.tooLate(req, &r) {
		return nil, nil, &Refusal{protocol.IllegalOperation, "the transaction is not ended in the time that CHECK_IMMUNITY_TIME_IN_SECONDS gives; wait for the check-back"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.find(r.QueueOffset)
	if h == nil || h.ending {
		return nil, nil, refuse("the transaction of half message %d has ended already", r.QueueOffset)
	}
	h.ending = true
	return &r, h, nil
}

// tooLate reports whether a producer that set an immunity of its own has let it
// pass: then only a check-back ends the transaction (rejectCommitOrRollback).
func (s *Service) tooLate(req *protocol.EndTransactionRequest, r *protocol.Record) bool {
	v, own := protocol.Property(r.Properties, protocol.PropCheckImmunity)
	if req.FromTransactionCheck || !own {
		return false
	}
	immunity := max(s.Immunity([]byte(v)), s.o.Timeout)
	return s.o.Clock.Now().Sub(time.UnixMilli(r.StoreTimestamp)) > immunity
}

func (s *Service) unclaim(h *half) {
	s.mu.Lock()
	h.ending = false
	s.mu.Unlock()
	s.alarm.Set(s.tick(max(h.due, s.o.Clock.Now().UnixMilli())))
}

// committing is a commit whose message is being stored: the append and its
// completion.
type committing struct {
	s      *Service
	half   *half
	done   func(error)
	append store.Append
}

// encode makes the message that consumers get (endMessageTransaction). TRAN_MSG
// stays: Apache takes it out in memory only.
func (e *committing) encode(half *protocol.Record, prepared int64) error {
	topic, queueID, err := redeliver.Real(half.Properties)
	if err != nil {
		return err
	}
	r := *half
	r.Topic, r.QueueID = topic, queueID
	r.SysFlag = r.SysFlag&^protocol.SysTransactionMask | protocol.SysCommit
	r.PreparedTransactionOffset = prepared
	r.Properties = protocol.RemoveProperty(nil, half.Properties, protocol.PropRealTopic, protocol.PropRealQueueID)
	tagsCode, err := e.s.o.Divert(&r)
	if err != nil {
		return err
	}
	records, err := protocol.AppendRecord(nil, &r)
	if err != nil {
		return err
	}
	e.append = store.Append{Topic: r.Topic, QueueID: r.QueueID, Records: records, TagsCodes: []int64{tagsCode}, Done: e}
	return nil
}

// Appended implements store.Completion.
func (e *committing) Appended(r store.AppendResult) {
	if r.Err != nil {
		e.s.unclaim(e.half)
		e.done(r.Err)
		return
	}
	e.s.ops.add(opItem{offset: e.half.offset, half: e.half})
	e.done(nil)
}
