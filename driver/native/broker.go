package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// brokers keeps one broker for each address in use.
type brokers struct {
	c      *client
	byAddr sync.Map // "host:port" → *broker
}

func newBrokers(c *client) *brokers { return &brokers{c: c} }

func (bs *brokers) get(addr string) *broker {
	if v, ok := bs.byAddr.Load(addr); ok {
		return v.(*broker)
	}
	b := &broker{c: bs.c, addr: addr, turn: make(chan struct{}, 1)}
	if bs.c.cfg.VIPChannel {
		b.vip = vipAddr(addr)
	}
	v, _ := bs.byAddr.LoadOrStore(addr, b)
	return v.(*broker)
}

// vipAddr is the address of a broker's VIP channel (MixAll.brokerVIPChannel); "" when there
// can be none.
func vipAddr(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	n, bad := strconv.Atoi(port)
	if err != nil || bad != nil || n <= 2 {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(n-2))
}

// retain forgets the brokers that no route names any more and that are not
// connected. A connection is left to end by itself: a name server that was just
// restarted may not know of the broker yet.
func (bs *brokers) retain(keep map[string]string) {
	bs.byAddr.Range(func(k, v any) bool {
		if _, ok := keep[k.(string)]; !ok && v.(*broker).ready() == nil {
			bs.byAddr.Delete(k)
		}
		return true
	})
}

func (bs *brokers) each(f func(*broker)) {
	bs.byAddr.Range(func(_, v any) bool {
		f(v.(*broker))
		return true
	})
}

// broker is one broker's address: its connection and the version it reports.
type broker struct {
	c       *client
	addr    string
	vip     string                        // where messages for it are sent instead; "" without a VIP channel
	conn    atomic.Pointer[remoting.Conn] // greeted; may be closed by now
	version atomic.Int32                  // MQVersion ordinal of its last response, 0 before
	// turn holds one token for who registers or unregisters groups: Apache serves
	// the two on different threads, so the last word must wait for the others.
	turn       chan struct{}
	complaints seldom // about refused heartbeats; the token's
	contact    contact

	queueing atomic.Int32 // sends in line: others line up behind them

	mu      sync.Mutex // guards the following
	opening *opening
	last    chan struct{} // closed when the last send that lined up has started or failed; nil: none has
	// See greetSoon.
	greeting  bool
	ungreeted []func()
}

// lineUp takes a place in the line of sends that wait for a connection. The send
// starts when before is closed, and closes started by stepOut.
func (b *broker) lineUp() (before <-chan struct{}, started chan struct{}) {
	started = make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queueing.Add(1)
	prev := b.last
	if prev == nil {
		prev = make(chan struct{})
		close(prev)
	}
	b.last = started
	return prev, started
}

// stepOut lets the next in line go on, once those before are gone too.
func (b *broker) stepOut(before <-chan struct{}, started chan struct{}) {
	<-before
	close(started)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queueing.Add(-1) == 0 {
		b.last = nil
	}
}

// opening is one attempt to connect that any number of callers wait for.
type opening struct {
	done chan struct{}
	conn *remoting.Conn
	err  error
}

// ready is the open connection, nil when one must be made first.
func (b *broker) ready() *remoting.Conn {
	c := b.conn.Load()
	if c == nil {
		return nil
	}
	select {
	case <-c.Closed():
		return nil
	default:
		return c
	}
}

// connect is ready, and waits for a new connection where there is none. ctx ends
// only this caller's wait.
func (b *broker) connect(ctx context.Context) (*remoting.Conn, error) {
	if c := b.ready(); c != nil {
		return c, nil
	}
	b.mu.Lock()
	o := b.opening
	if o == nil {
		o = &opening{done: make(chan struct{})}
		b.opening = o
		if !b.c.run(func() { b.open(o) }) {
			b.opening = nil
			b.mu.Unlock()
			return nil, message.ErrClosed
		}
	}
	b.mu.Unlock()
	select {
	case <-o.done:
		return o.conn, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open connects and greets: the broker learns of this client's groups before
// the connection is used, so that it never refuses a pull from a member that it
// does not know, and its version is known before the first message.
func (b *broker) open(o *opening) {
	o.conn, o.err = b.c.net.Conn(b.c.ctx, b.addr)
	if o.err != nil {
		b.contact.note(b.addr, o.err)
	} else {
		o.err = b.greet(b.c.ctx, o.conn)
	}
	if o.err != nil {
		o.conn = nil
	} else {
		b.conn.Store(o.conn)
	}
	b.mu.Lock()
	b.opening = nil
	b.mu.Unlock()
	close(o.done)
}

// greet sends a heartbeat. A broker's refusal is logged only: it may well take
// messages.
func (b *broker) greet(ctx context.Context, conn *remoting.Conn) error {
	select {
	case b.turn <- struct{}{}: // whoever has it is bounded by the request's time limit
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	body, err := b.c.heartbeat()
	if err != nil {
		return err
	}
	cmd := protocol.ClientRequest(protocol.Heartbeat)
	resp, err := conn.Call(remoting.WithTimeout(ctx, b.c.cfg.RequestTimeout), &cmd, nil, body)
	b.contact.note(b.addr, err)
	if err != nil {
		return err
	}
	b.sawVersion(resp)
	if resp.Code != protocol.Success {
		b.complaints.warn(b.c.log, "broker refused a heartbeat", "error", answer.Refusal("heartbeat", "", b.addr, resp))
	}
	return nil
}

func (b *broker) sawVersion(resp *protocol.Command) {
	if v := resp.Version; v != b.version.Load() {
		b.version.Store(v)
	}
}

// call makes a request on the driver's own account and waits for its answer. A
// response that is neither a success nor among allowed is an error; op and name
// (the broker's) are for errors.
func (b *broker) call(ctx context.Context, name, op string, code protocol.Code, h protocol.Header, allowed ...protocol.Code) (*protocol.Command, error) {
	return b.callWithin(ctx, b.c.cfg.RequestTimeout, name, op, code, h, allowed...)
}

// callWithin is call for an answer that may take longer than the RequestTimeout.
func (b *broker) callWithin(ctx context.Context, limit time.Duration, name, op string, code protocol.Code, h protocol.Header, allowed ...protocol.Code) (*protocol.Command, error) {
	resp, err := b.ask(remoting.WithTimeout(ctx, limit), name, op, code, h)
	if err != nil {
		return nil, err
	}
	if resp.Code == protocol.Success || slices.Contains(allowed, resp.Code) {
		return resp, nil
	}
	return nil, answer.Refusal(op, name, b.addr, resp)
}

// ask makes a request within ctx's time. Every response is an answer.
func (b *broker) ask(ctx context.Context, name, op string, code protocol.Code, h protocol.Header, body ...[]byte) (*protocol.Command, error) {
	conn, err := b.connect(ctx)
	if err != nil {
		return nil, callError(op, name, b.addr, err)
	}
	cmd := protocol.ClientRequest(code)
	resp, err := conn.Call(ctx, &cmd, h, body...)
	if err != nil {
		return nil, callError(op, name, b.addr, err)
	}
	b.sawVersion(resp)
	return resp, nil
}

// start makes a request and leaves the outcome to done, which gets a broker's
// refusal as an error too. It does not wait: without a connection a goroutine
// goes on.
func (b *broker) start(ctx context.Context, name, op string, code protocol.Code, h protocol.Header, done func(*protocol.Command, error), body ...[]byte) {
	send := func(conn *remoting.Conn) {
		cmd := protocol.ClientRequest(code)
		conn.Start(ctx, &cmd, h, remoting.CompletionFunc(func(resp *protocol.Command, err error) {
			switch {
			case err != nil:
				done(nil, callError(op, name, b.addr, err))
			case resp.Code != protocol.Success:
				b.sawVersion(resp)
				done(resp, answer.Refusal(op, name, b.addr, resp))
			default:
				b.sawVersion(resp)
				done(resp, nil)
			}
		}), body...)
	}
	if conn := b.ready(); conn != nil {
		send(conn)
		return
	}
	started := b.c.run(func() {
		conn, err := b.connect(ctx)
		if err != nil {
			done(nil, callError(op, name, b.addr, err))
			return
		}
		send(conn)
	})
	if !started {
		done(nil, callError(op, name, b.addr, message.ErrClosed))
	}
}

// errNoBroker says that no route names the broker any more.
func errNoBroker(name, topic string) error {
	return fmt.Errorf("%w: broker %s is not in the route of topic %s, or has no master; it may be down or removed", message.ErrUnreachable, name, topic)
}

// master is the broker that takes a queue's messages and offsets.
func (c *client) master(q message.Queue) (*broker, error) {
	return c.masterBy(c.routes.known(q.Topic), q)
}

// masterBy is master by a route, which may be nil.
func (c *client) masterBy(r *route, q message.Queue) (*broker, error) {
	if r != nil {
		if b := r.brokers[q.Broker]; b != nil && b.master() != "" {
			return c.brokers.get(b.master()), nil
		}
	}
	return nil, errNoBroker(q.Broker, c.namespace.shown(q.Topic))
}

// reader is the broker to pull a queue from, by the id that the last pull
// suggested.
func (c *client) reader(q message.Queue, suggested int64) (b *broker, master bool, err error) {
	if r := c.routes.known(q.Topic); r != nil {
		if addrs := r.brokers[q.Broker]; addrs != nil {
			if addr, master := addrs.reader(suggested); addr != "" {
				return c.brokers.get(addr), master, nil
			}
		}
	}
	return nil, false, errNoBroker(q.Broker, c.namespace.shown(q.Topic))
}

// offsets is the broker that keeps a queue's offsets: the master, or a slave while
// there is none.
func (c *client) offsets(q message.Queue) (*broker, error) {
	b, _, err := c.reader(q, protocol.MasterID)
	return b, err
}

// connectionLost is told of every connection that ends, name servers' too. A
// broker forgets a client whose connection is gone, so it is greeted again soon.
func (c *client) connectionLost(conn *remoting.Conn, err error) {
	if c.ctx.Err() != nil {
		return
	}
	if !errors.Is(err, context.Canceled) {
		c.log.Debug("connection lost", "addr", conn.RemoteAddr(), "error", err)
	}
	c.beats.lost()
}
