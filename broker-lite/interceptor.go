package brokerlite

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// faults stand between the connections and the servers' handlers. Without any, a
// request passes them for the price of one atomic load.
type faults struct {
	logger *slog.Logger
	active atomic.Int32 // interceptors
	waits  atomic.Int32 // entries of replaced
	ctx    context.Context
	cancel context.CancelFunc

	mu           sync.Mutex // guards the following
	interceptors []*interceptor
	replaced     map[pendingAnswer]protocol.Code
	ended        bool
	tasks        sync.WaitGroup
}

type interceptor struct {
	f func(Request) (Reaction, bool)
}

// pendingAnswer names an answer that is still to come.
type pendingAnswer struct {
	conn   *remoting.Conn
	opaque int32
}

func newFaults(logger *slog.Logger) *faults {
	f := &faults{logger: logger, replaced: map[pendingAnswer]protocol.Code{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

func (f *faults) add(fn func(Request) (Reaction, bool)) (stop func()) {
	i := &interceptor{fn}
	f.mu.Lock()
	f.interceptors = append(slices.Clip(f.interceptors), i)
	f.mu.Unlock()
	f.active.Add(1)
	return sync.OnceFunc(func() {
		f.mu.Lock()
		f.interceptors = slices.DeleteFunc(slices.Clone(f.interceptors), func(o *interceptor) bool { return o == i })
		f.mu.Unlock()
		f.active.Add(-1)
	})
}

// close ends the reactions that are still to come.
func (f *faults) close() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.cancel()
	f.tasks.Wait()
}

// handler puts the faults before a server's handler. later serves a request on
// another goroutine than the connection's reader.
func (f *faults) handler(nameServer bool, serve, later remoting.Handler) remoting.Handler {
	return func(c *remoting.Conn, cmd *protocol.Command) {
		if f.active.Load() == 0 {
			serve(c, cmd)
			return
		}
		r := f.ask(nameServer, c, cmd)
		if r.delay <= 0 {
			f.react(r, nameServer, c, cmd, serve)
			return
		}
		request := *cmd
		request.Fields, request.Body = slices.Clone(cmd.Fields), slices.Clone(cmd.Body)
		f.after(r.delay, func() { f.react(r, nameServer, c, &request, later) })
	}
}

// ask asks the interceptors.
func (f *faults) ask(nameServer bool, c *remoting.Conn, cmd *protocol.Command) Reaction {
	f.mu.Lock()
	list := f.interceptors
	f.mu.Unlock()
	req := Request{
		NameServer: nameServer, Code: int(cmd.Code), Name: protocol.RequestName(cmd.Code), Oneway: cmd.IsOneway(),
		Topic: firstOf(cmd.Fields, "topic", "b", "originTopic"), Group: firstOf(cmd.Fields, "consumerGroup", "producerGroup", "a", "group"),
		Client: c.RemoteAddr(), Body: cmd.Body,
	}
	for _, i := range list {
		if r, ok := i.f(req); ok {
			return r
		}
	}
	return Reaction{}
}

func firstOf(fields protocol.Fields, keys ...string) string {
	for _, k := range keys {
		if v := fields.Value(k); v != "" {
			return v
		}
	}
	return ""
}

func (f *faults) react(r Reaction, nameServer bool, c *remoting.Conn, cmd *protocol.Command, serve remoting.Handler) {
	kind := r.kind
	if kind == replaceAnswer && nameServer {
		kind = answerWith
	}
	switch kind {
	case answerWith:
		if cmd.IsOneway() {
			return
		}
		resp := cmd.Response(r.code, r.remark)
		if err := c.Reply(&resp, nil); err != nil {
			f.logger.Debug("answer not sent", "peer", c.RemoteAddr().String(), "err", err)
		}
	case dropRequest:
	case dropAnswer:
		cmd.MarkOneway()
		serve(c, cmd)
	case replaceAnswer:
		f.mu.Lock()
		f.replaced[pendingAnswer{c, cmd.Opaque}] = r.code
		f.waits.Store(int32(len(f.replaced)))
		f.mu.Unlock()
		serve(c, cmd)
	case closeConn:
		if err := c.Close(); err != nil {
			f.logger.Debug("closing a connection", "peer", c.RemoteAddr().String(), "err", err)
		}
	default:
		serve(c, cmd)
	}
}

// after runs what comes later, unless the server is closed first.
func (f *faults) after(d time.Duration, run func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.tasks.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			run()
		case <-f.ctx.Done():
		}
	})
}

// reply sends an answer of the broker's, with another code where that was wanted.
func (f *faults) reply(c *remoting.Conn, resp *protocol.Command, h protocol.Header, body []byte) error {
	if f.waits.Load() > 0 {
		key := pendingAnswer{c, resp.Opaque}
		f.mu.Lock()
		if code, ok := f.replaced[key]; ok {
			delete(f.replaced, key)
			f.waits.Store(int32(len(f.replaced)))
			resp.Code = code
		}
		f.mu.Unlock()
	}
	return c.Reply(resp, h, body)
}
