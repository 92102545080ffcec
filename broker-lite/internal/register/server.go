package register

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// server is one name server.
type server struct {
	r    *Registrar
	addr string
	wake chan struct{} // capacity 1: wanted has grown
	// has is what the server took last; only run's goroutine uses it.
	has registered

	mu     sync.Mutex    // guards the following
	named  []string      // topics to send even when they have not changed, up to maxNamed
	many   bool          // there were more: all are to be sent
	wanted uint64        // counts the calls that want a registration
	done   uint64        // of these, how many have got it
	err    error         // of the last attempt
	known  bool          // the last attempt succeeded: the server has the broker
	ended  chan struct{} // closed after each attempt, then replaced
}

// maxNamed bounds what is remembered for a name server that is slow.
const maxNamed = 4096

// registered is what a name server knows, as long as the connection lasts. One that
// lost the connection has forgotten the broker.
type registered struct {
	conn    *remoting.Conn // nil: nothing
	version protocol.DataVersion
}

// want asks for a registration and returns the number to await.
func (s *server) want(topics []string) uint64 {
	s.mu.Lock()
	s.wanted++
	if s.err == nil { // else all are sent next
		s.named = append(s.named, topics...)
	}
	if len(s.named) > maxNamed {
		s.named, s.many = nil, true
	}
	target := s.wanted
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return target
}

// await waits for the registration number target. A server that has failed is
// not waited for: its next attempt comes when it comes.
func (s *server) await(ctx context.Context, target uint64) error {
	for {
		s.mu.Lock()
		done, err, ended := s.done >= target, s.err, s.ended
		s.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("name server %s: %w", s.addr, context.Cause(ctx))
		}
	}
}

// run registers until ctx ends.
func (s *server) run(ctx context.Context) {
	pause, all := minPause, true // all: of the topics
	var full time.Time           // when all were registered last
	for {
		conn, err := s.attempt(ctx, all)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !sleep(ctx, pause, nil, nil) {
				return
			}
			pause, all = min(2*pause, s.r.o.Period), true
			continue
		}
		pause = minPause
		if all {
			full = time.Now()
		}
		lost := conn.Closed()
		if !sleep(ctx, time.Until(full.Add(s.r.o.Period)), s.wake, lost) {
			return
		}
		all = time.Since(full) >= s.r.o.Period
		select {
		case <-lost:
			// The server has forgotten the broker. One that closes every connection
			// must not be called in a loop.
			if !sleep(ctx, minPause, s.wake, nil) {
				return
			}
		default:
		}
	}
}

// sleep waits for d, for wake or for lost. It reports whether ctx is still good.
func sleep(ctx context.Context, d time.Duration, wake, lost <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-lost:
	case <-ctx.Done():
		return false
	}
	return true
}

// attempt registers once and notes how it went.
func (s *server) attempt(ctx context.Context, all bool) (*remoting.Conn, error) {
	s.mu.Lock()
	wanted, named := s.wanted, s.named
	all = all || s.many
	s.named, s.many = nil, false
	s.mu.Unlock()
	conn, err := s.register(ctx, all, named)
	if ctx.Err() != nil {
		return nil, err
	}
	s.mu.Lock()
	news := (err == nil) != s.known || (err != nil) != (s.err != nil)
	s.known, s.err = err == nil, err
	if err == nil {
		s.done = wanted
	}
	close(s.ended)
	s.ended = make(chan struct{})
	s.mu.Unlock()
	if err == nil {
		s.r.first.Do(func() { close(s.r.registered) })
	}
	if news {
		s.log(err)
	}
	return conn, err
}

func (s *server) log(err error) {
	log := s.r.o.Logger.With("nameServer", s.addr, "broker", s.r.o.BrokerName, "addr", s.r.o.Addr)
	if err != nil {
		log.Error("the broker is not registered with a name server, clients that ask it do not find the broker; it is tried again until it works", "err", err)
	} else {
		log.Info("the broker is registered with a name server")
	}
}

// topics returns what to register on a connection. part reports that it is not all.
func (s *server) topics(conn *remoting.Conn, all bool, named []string) (t protocol.TopicConfigTable, part bool) {
	if !all && s.has.conn == conn && s.r.o.ChangedSince != nil {
		t, part = s.r.o.ChangedSince(s.has.version, named)
	}
	if !part {
		t = s.r.o.Topics()
	}
	return t, part
}

// register sends all topics, or those that the server does not have yet.
func (s *server) register(ctx context.Context, all bool, named []string) (*remoting.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.r.o.Timeout)
	defer cancel()
	conn, err := s.r.o.Client.Conn(ctx, s.addr)
	if err != nil {
		return nil, fmt.Errorf("register with name server %s: %w", s.addr, err)
	}
	topics, part := s.topics(conn, all, named)
	if part && len(topics.Configs) == 0 && topics.DataVersion == s.has.version {
		return conn, nil // it has them
	}
	s.has = registered{}
	body, err := s.r.body(topics)
	if err != nil {
		return nil, fmt.Errorf("register with name server %s: %w", s.addr, err)
	}
	o := &s.r.o
	h := protocol.RegisterBrokerRequest{
		BrokerName: o.BrokerName, BrokerAddr: o.Addr, ClusterName: o.ClusterName, BrokerID: o.BrokerID,
		HAServerAddr:       o.Addr, // Java wants one; nobody replicates from here
		EnableActingMaster: protocol.SomeBool(false), BodyCRC32: protocol.BodyCRC(body),
	}
	told, err := s.call(ctx, conn, protocol.RegisterBroker, &h, body)
	if err == nil {
		s.has = registered{conn, topics.DataVersion}
		s.ordered(told)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		o.Client.Drop(s.addr) // it may be half open; the next attempt makes another
	}
	return conn, err
}

// unregister takes the broker out, if the server has it.
func (s *server) unregister(ctx context.Context) error {
	s.mu.Lock()
	known := s.known
	s.known = false
	s.mu.Unlock()
	if !known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, unregisterTimeout)
	defer cancel()
	conn, err := s.r.o.Client.Conn(ctx, s.addr)
	if err != nil {
		return fmt.Errorf("unregister from name server %s: %w", s.addr, err)
	}
	o := &s.r.o
	h := protocol.UnregisterBrokerRequest{BrokerName: o.BrokerName, BrokerAddr: o.Addr, ClusterName: o.ClusterName, BrokerID: o.BrokerID}
	_, err = s.call(ctx, conn, protocol.UnregisterBroker, &h, nil)
	return err
}

// ordered hands on what the name server tells of ordered topics.
func (s *server) ordered(body []byte) {
	if len(body) == 0 || s.r.o.OnOrderTopics == nil {
		return
	}
	var told protocol.KVTable
	if err := protocol.DecodeBody(body, &told); err != nil {
		s.r.o.Logger.Warn("a name server's list of ordered topics cannot be read", "nameServer", s.addr, "err", err)
		return
	}
	if len(told.Table) > 0 {
		s.r.o.OnOrderTopics(slices.Sorted(maps.Keys(told.Table)))
	}
}

// call returns the answer's body.
func (s *server) call(ctx context.Context, conn *remoting.Conn, code protocol.Code, h protocol.Header, body []byte) ([]byte, error) {
	cmd := protocol.Command{Code: code, Language: protocol.LanguageGo, Version: protocol.ServerVersion}
	resp, err := conn.Call(ctx, &cmd, h, body)
	if err != nil {
		return nil, fmt.Errorf("%s at name server %s: %w", protocol.RequestName(code), s.addr, err)
	}
	if resp.Code != protocol.Success {
		return nil, fmt.Errorf("%s at name server %s: %s: %s", protocol.RequestName(code), s.addr, protocol.ResponseName(resp.Code), resp.Remark)
	}
	return resp.Body, nil
}
