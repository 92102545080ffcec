package conformance_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/retry"
)

// async sends a message and returns where its outcome will be.
func (s *stand) async(ctx context.Context, p *producer.Producer, m *message.Message) <-chan outcome {
	done := make(chan outcome, 2)
	p.SendAsync(ctx, m, func(_ context.Context, r message.SendResult, err error) { done <- outcome{r, err} })
	return done
}

func (s *stand) outcome(ch <-chan outcome) outcome {
	s.Helper()
	select {
	case o := <-ch:
		return o
	case <-s.soon().Done():
		s.Fatal("the send has no outcome")
		return outcome{}
	}
}

// unknown says that nobody knows whether a message was stored.
func (s *stand) unknown(err, cause error) {
	s.Helper()
	var unknown *message.UnknownOutcomeError
	if !errors.Is(err, message.ErrOutcomeUnknown) || message.SafeToRetry(err) || cause != nil && !errors.Is(err, cause) {
		s.Errorf("error %v, want %v by %v, not safe to retry", err, message.ErrOutcomeUnknown, cause)
	} else if errors.As(err, &unknown); unknown.Broker != "broker-a" {
		s.Errorf("error %v does not name the broker", err)
	}
}

// brief is the ctx of a send that is given up, but not before it has been written
// where the connection is there.
func (s *stand) brief() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	s.Cleanup(cancel)
	return ctx
}

func ctxEndedAfter(s *stand) {
	n, topic := s.network(), s.topic()
	p := s.producer(s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...))
	s.send(p, message.New(topic, []byte("connected")))
	release := n.hold(s.server.broker)
	_, err := p.Send(s.brief(), message.New(topic, []byte("deadline")))
	s.unknown(err, context.DeadlineExceeded)
	ctx, cancel := context.WithCancel(s.Context())
	sent := s.async(ctx, p, message.New(topic, []byte("cancelled")))
	s.eventually("the message is stored", func() bool { return s.storedIn(topic) == 3 })
	cancel()
	s.unknown(s.outcome(sent).err, context.Canceled)
	_, err = p.SendBatch(s.brief(), []*message.Message{message.New(topic, []byte("batch"))})
	s.unknown(err, context.DeadlineExceeded)
	release()
	s.send(p, message.New(topic, []byte("still connected")))
	if dials := n.dials(s.server.broker); dials != 1 {
		s.Errorf("%d connections were made, want 1: a ctx that ends must not harm it", dials)
	}
	s.holds(topic, 5) // and nothing was tried again
}

// ctxEndedDuring: while the connection is being made.
func ctxEndedDuring(s *stand) {
	n, topic := s.network(), s.topic()
	p := s.producer(s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...))
	release := n.stall(s.server.broker)
	defer release()
	begun := time.Now()
	_, err := p.Send(s.brief(), message.New(topic, []byte("b")))
	if !errors.Is(err, context.DeadlineExceeded) || !message.SafeToRetry(err) || errors.Is(err, message.ErrOutcomeUnknown) {
		s.Errorf("error %v, want the deadline's, safe to retry", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		s.Errorf("the send ended %s after its begin, want 1s", took)
	}
	release()
	s.send(p, message.New(topic, []byte("b")))
	s.holds(topic, 1)
}

// unanswered: the server stores the message, and its answer is lost.
func unanswered(s *stand) {
	topic := s.topic()
	p := s.producer(s.open())
	s.send(p, message.New(topic, []byte("connected")))
	defer s.server.lite.Fault(brokerlite.Match{Code: codeSendV2, Topic: topic}, brokerlite.DropAnswer())()
	_, err := p.Send(s.brief(), message.New(topic, []byte("b")))
	s.unknown(err, context.DeadlineExceeded)
	s.eventually("the message is stored", func() bool { return s.storedIn(topic) == 2 })
}

func connectionLost(s *stand) {
	n, topic := s.network(), s.topic()
	c := s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...)
	lose := func(p *producer.Producer, stored int) outcome {
		s.Helper()
		s.send(p, message.New(topic, []byte("connected")))
		release := n.hold(s.server.broker)
		sent := s.async(s.soon(), p, message.New(topic, []byte("lost")))
		s.eventually("the message is stored", func() bool { return s.storedIn(topic) == stored })
		n.sever(s.server.broker)
		release()
		return s.outcome(sent)
	}
	s.unknown(lose(s.producer(c), 2).err, nil)
	o := lose(s.producer(c, producer.RetryUnknownOutcome()), 4)
	if o.err != nil {
		s.Errorf("with RetryUnknownOutcome: %v", o.err)
	}
	s.holds(topic, 5)
	in := s.receive(c, topic)
	copies := 0
	for range 6 { // with the one by hand
		if d := in.next(); d.ID == o.r.MessageID {
			copies++
		}
	}
	if copies != 2 {
		s.Errorf("%d copies have the id of the message that was sent twice, want 2", copies)
	}
}

// brokerGone: between the look-up of the route and the send.
func brokerGone(s *stand) {
	n, topic := s.network(), s.topic()
	p := s.producer(s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...))
	s.send(p, message.New(topic, []byte("there")))
	n.refuse(s.server.broker, true)
	n.sever(s.server.broker)
	_, err := p.Send(s.soon(), message.New(topic, []byte("gone")))
	var addr *message.AddrError
	if !errors.Is(err, message.ErrUnreachable) || !message.SafeToRetry(err) || !errors.As(err, &addr) || addr.Addr != s.server.broker || !errors.Is(err, errRefused) {
		s.Errorf("error %v, want %v that names %s, safe to retry", err, message.ErrUnreachable, s.server.broker)
	}
	n.refuse(s.server.broker, false)
	s.send(p, message.New(topic, []byte("back")))
	s.holds(topic, 2)
}

// wrongAddress: the broker advertises an address at which nobody answers.
func wrongAddress(s *stand) {
	topic := s.newTopic()
	_, err := s.producer(s.open()).Send(s.soon(), message.New(topic, []byte("b")))
	if !errors.Is(err, message.ErrUnreachable) || !message.SafeToRetry(err) {
		s.Fatalf("error %v, want %v, safe to retry", err, message.ErrUnreachable)
	}
	for _, word := range []string{s.server.broker, "127.0.0.9", "brokerIP1", "broker-a"} {
		if !strings.Contains(err.Error(), word) {
			s.Errorf("error %q does not say %s", err, word)
		}
	}
}

// nameServerGone: what is known goes on.
func nameServerGone(s *stand) {
	n, topic, addr := s.network(), s.topic(), s.server.nameServers[0]
	c := s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...)
	p, in := s.producer(c), s.receive(c, topic)
	s.sendAll(p, topic, "with")
	in.bodies(1)
	n.refuse(addr, true)
	n.sever(addr)
	s.sendAll(p, topic, numbered("without", 4)...)
	if diff := cmp.Diff(numbered("without", 4), in.bodies(4)); diff != "" {
		s.Errorf("(-want +got)\n%s", diff)
	}
	other := s.topic()
	if _, err := p.Send(s.soon(), message.New(other, []byte("b"))); !errors.Is(err, message.ErrNoNameServer) || !message.SafeToRetry(err) || !strings.Contains(err.Error(), addr) {
		s.Errorf("another topic: error %v, want %v that names %s", err, message.ErrNoNameServer, addr)
	}
	n.refuse(addr, false)
	s.sendAll(p, other, "b")
}

func failFast(s *stand) {
	n, topic := s.network(), s.topic()
	p := s.producer(s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...), producer.MaxInFlight(1), producer.FailFast())
	s.send(p, message.New(topic, []byte("connected")))
	release := n.hold(s.server.broker)
	defer release()
	first := s.async(s.soon(), p, message.New(topic, []byte("first")))
	second := s.async(s.soon(), p, message.New(topic, []byte("second")))
	if err := s.outcome(second).err; !errors.Is(err, message.ErrOverloaded) || !message.SafeToRetry(err) {
		s.Errorf("error %v, want %v, safe to retry", err, message.ErrOverloaded)
	}
	release()
	if o := s.outcome(first); o.err != nil {
		s.Error(o.err)
	}
	s.send(p, message.New(topic, []byte("third")))
	s.holds(topic, 3)
}

// bounded: further sends wait for a place, until their ctx ends.
func bounded(s *stand) {
	n, topic := s.network(), s.topic()
	p := s.producer(s.openAt(s.server.nameServers, s.dialOptions(n.Dial)...), producer.MaxInFlight(2))
	s.send(p, message.New(topic, []byte("connected")))
	release := n.hold(s.server.broker)
	defer release()
	first, second := s.async(s.soon(), p, message.New(topic, []byte("1"))), s.async(s.soon(), p, message.New(topic, []byte("2")))
	if _, err := p.Send(s.brief(), message.New(topic, []byte("3"))); !errors.Is(err, context.DeadlineExceeded) || !message.SafeToRetry(err) {
		s.Errorf("error %v, want the deadline's, safe to retry", err)
	}
	waits := make(chan error, 1)
	go func() {
		_, err := p.Send(s.soon(), message.New(topic, []byte("4")))
		waits <- err
	}()
	release()
	for _, ch := range []<-chan outcome{first, second} {
		if o := s.outcome(ch); o.err != nil {
			s.Error(o.err)
		}
	}
	if err := <-waits; err != nil {
		s.Error(err)
	}
	s.holds(topic, 4)
}

func statuses(s *stand) {
	topic := s.topic()
	p := s.producer(s.open(), producer.Retries(2))
	for code, want := range map[int]message.Status{10: message.FlushDiskTimeout, 11: message.SlaveNotAvailable, 12: message.FlushSlaveTimeout} {
		stop := s.server.lite.Fault(brokerlite.Match{Code: codeSendV2, Topic: topic}, brokerlite.ReplaceAnswer(code))
		m := message.New(topic, []byte("b"))
		r := s.send(p, m)
		out, err := p.SendBatch(s.soon(), []*message.Message{m, m})
		if err != nil || len(out) != 2 {
			s.Fatal(err)
		}
		o := s.outcome(s.async(s.soon(), p, m))
		for what, r := range map[string]message.SendResult{"sync": r, "async": o.r, "batch": out[0].Result, "batch's second": out[1].Result} {
			if r.Status != want || o.err != nil || !hexDigits(r.OffsetMessageID, 32) {
				s.Errorf("%s, answer %d: %v, %v, want status %v", what, code, r, o.err, want)
			}
		}
		stop()
	}
	s.holds(topic, 12) // stored is stored: nothing was tried again
}

// busy: a passing refusal is tried again, any other is not.
func busy(s *stand) {
	topic := s.topic()
	var asked atomic.Int32
	answers := make(chan int, 10)
	defer s.server.lite.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
		if r.Topic != topic || r.Code != codeSendV2 && r.Code != 10 || r.Group == "by_hand" {
			return brokerlite.Pass(), false
		}
		asked.Add(1)
		select {
		case code := <-answers:
			return brokerlite.Answer(code, "by the case"), true
		default:
			return brokerlite.Pass(), true
		}
	})()
	p := s.producer(s.open(), producer.Retries(2), producer.NoBreaker())
	for _, tc := range []struct {
		answers []int
		asked   int32
		code    int // of the error
	}{
		{[]int{2, 2}, 3, 0}, // SYSTEM_BUSY
		{[]int{14}, 2, 0},   // SERVICE_NOT_AVAILABLE
		{[]int{2, 2, 2}, 3, 2},
		{[]int{answerIllegal}, 1, answerIllegal},
	} {
		asked.Store(0)
		for _, a := range tc.answers {
			answers <- a
		}
		_, err := p.Send(s.soon(), message.New(topic, []byte("b")))
		var refusal *message.BrokerError
		switch {
		case asked.Load() != tc.asked:
			s.Errorf("answers %v: asked %d times, want %d", tc.answers, asked.Load(), tc.asked)
		case tc.code == 0 && err != nil:
			s.Errorf("answers %v: %v", tc.answers, err)
		case tc.code != 0 && (!errors.As(err, &refusal) || refusal.Code != tc.code || refusal.Remark != "by the case" || !message.SafeToRetry(err)):
			s.Errorf("answers %v: error %v, want code %d with its remark", tc.answers, err, tc.code)
		}
	}
	s.holds(topic, 2)
}

// slow: a send that the broker takes its time for holds up nobody else on the
// connection.
func slow(s *stand) {
	topic, other := s.topic(), s.topic()
	p := s.producer(s.open())
	s.sendAll(p, topic, "known")
	s.sendAll(p, other, "known")
	wait := 1500 * time.Millisecond
	defer s.server.lite.Fault(brokerlite.Match{Code: codeSendV2, Topic: topic}, brokerlite.Pass().After(wait))()
	begun := time.Now()
	sent := s.async(s.soon(), p, message.New(topic, []byte("slow")))
	s.sendAll(p, other, numbered("quick", 20)...)
	if took := time.Since(begun); took >= s.busy(wait, 20) {
		s.Errorf("20 sends beside the slow one took %s", took)
	}
	if o := s.outcome(sent); o.err != nil {
		s.Error(o.err)
	}
	s.within("the slow send", time.Since(begun), wait, s.slack())
	s.holds(topic, 2)
}

// busy is a limit for n sends that must not each wait that long: exactly that long
// in virtual time, and with room for a machine that has other things to do else.
func (s *stand) busy(limit time.Duration, n int) time.Duration {
	if s.virtual() {
		return limit
	}
	return time.Duration(n) * limit
}

// sendBackRefused: the broker does not take a failed message back. It stays here,
// comes again, and the offset does not pass it.
func sendBackRefused(s *stand) {
	const sendBack = 36
	c, topic, group := s.open(), s.topicOf(1), s.group()
	var refusals atomic.Int32
	stop := s.server.lite.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
		if r.Group != group || r.Code != sendBack {
			return brokerlite.Pass(), false
		}
		refusals.Add(1)
		return brokerlite.Answer(answerSystem, "by the case"), true
	})
	defer stop()
	a := s.attempts(errBoom, errBoom, errBoom)
	in := s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if string(d.Body) == "fails" {
			return a.handle(ctx, d)
		}
		return in.take(ctx, d)
	})
	cons := s.start(c, mux)
	p := s.producer(c)
	id := s.sendAll(p, topic, "fails")[0]
	s.sendAll(p, topic, numbered("fine", 5)...)
	in.bodies(5)
	for n := range 2 {
		if got := a.next(); got.ID != id || got.ReconsumeTimes != n || string(got.Body) != "fails" {
			s.Errorf("attempt %d: %+v", n, got.Delivery)
		}
	}
	if refusals.Load() == 0 {
		s.Error("the broker was not asked to take the message back")
	}
	if err := cons.Stop(s.soon()); err != nil { // commits what may be
		s.Fatal(err)
	}
	if off := s.committed(group, topic, 0); off > 0 {
		s.Errorf("the committed offset is %d: the failed message at 0 is lost", off)
	}
	stop()
	again := s.mux(group)
	consumer.HandleRaw(again, topic, in.take)
	s.start(s.open(), again)
	if in.ids(6)[id] == nil {
		s.Error("the failed message is lost")
	}
}

// deadLetterRefused: when the broker refuses to take a message back for good, it
// goes to the dead letters by a send.
func deadLetterRefused(s *stand) {
	c, topic, group := s.open(), s.topic(), s.group()
	defer s.server.lite.Fault(brokerlite.Match{Code: 36, Group: group}, brokerlite.Answer(answerSystem, "by the case"))()
	a, dead := s.attempts(retry.Permanent(errBoom)), s.inbox()
	mux := s.mux(group)
	consumer.HandleRaw(mux, topic, a.handle)
	consumer.HandleDLQ(mux, dead.take)
	s.start(c, mux)
	sent := s.send(s.producer(c), message.New(topic, []byte("dead"), message.Tag("t"), message.Key("k")))
	first := a.next()
	if d := dead.next(); d.ID != sent.MessageID || string(d.Body) != "dead" || d.OriginTopic() != topic || d.OriginID() != first.OffsetID || d.Tag != "t" || d.Property("KEYS") != "k" {
		s.Errorf("dead letter %+v from topic %q, origin %q", d, d.OriginTopic(), d.OriginID())
	}
	a.none()
}

// unknownCode is answered, and the connection stays.
func unknownCode(s *stand)             { s.refusesCodes(s.server.broker) }
func unknownCodeAtNameServer(s *stand) { s.refusesCodes(s.server.nameServers[0]) }

func (s *stand) refusesCodes(addr string) {
	s.Helper()
	conn := s.dial(addr)
	for _, code := range []int{9999, -5, 32767} {
		if a := s.askOn(conn, frame(code, nil, []byte("body"))); a.Code != answerNoSuchCode || a.Opaque != 7 || a.Flag&1 != 1 || a.Remark == "" {
			s.Errorf("code %d: %+v, want response code 3 with a remark", code, a)
		}
	}
	if a := s.askOn(conn, frame(codeRoute, map[string]string{"topic": "none"}, nil)); a.Opaque != 7 || a.Code == answerOK {
		s.Errorf("afterwards: %+v", a)
	}
}
