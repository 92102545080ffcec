package native

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// serve answers what a broker asks on its own account. It runs on a
// connection's reader and must not block.
func (c *client) serve(conn *remoting.Conn, cmd *protocol.Command) {
	switch cmd.Code {
	case protocol.NotifyConsumersChanged:
		c.membersChanged(cmd)
	case protocol.CheckTransactionState:
		c.checkTransaction(conn, cmd)
	case protocol.ResetClientOffset:
		c.resetOffsets(conn, cmd)
	case protocol.GetClientStatus:
		c.tellOffsets(conn, cmd)
	case protocol.GetClientRunningInfo:
		c.tellRunningInfo(conn, cmd)
	case protocol.ConsumeDirectly:
		c.consumeDirectly(conn, cmd)
	case protocol.PushReply:
		c.receiveReply(conn, cmd)
	default:
		c.refuse(conn, cmd, fmt.Sprintf("%s is not supported by the rocketkit client", protocol.RequestName(cmd.Code)))
	}
}

// refuse answers a request that cannot be served, unless nobody waits for it.
func (c *client) refuse(conn *remoting.Conn, cmd *protocol.Command, remark string) {
	c.reply(conn, cmd, protocol.CodeNotSupported, remark)
}

func (c *client) reply(conn *remoting.Conn, cmd *protocol.Command, code protocol.Code, remark string, body ...[]byte) {
	if cmd.IsOneway() {
		return
	}
	resp := cmd.Response(code, remark)
	resp.Version = protocol.ClientVersion
	if err := conn.Reply(&resp, nil, body...); err != nil {
		c.log.Debug("could not answer a broker", "request", protocol.RequestName(cmd.Code), "addr", conn.RemoteAddr(), "error", err)
	}
}

// membersChanged is code 40: a group's members are others than before.
func (c *client) membersChanged(cmd *protocol.Command) {
	var h protocol.NotifyConsumersChangedRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		c.log.Warn("unreadable request of a broker", "request", protocol.RequestName(cmd.Code), "error", err)
		return
	}
	if s := c.subscription(h.ConsumerGroup); s != nil {
		s.kick()
	}
}

// resetOffsets is code 220: an administrator moves a group to other offsets. It
// is how brokers before 5.0 do it; later ones answer the next pull with
// PULL_OFFSET_MOVED.
func (c *client) resetOffsets(conn *remoting.Conn, cmd *protocol.Command) {
	group := cmd.Fields.Value("group")
	s := c.subscription(group)
	table, err := protocol.DecodeOffsetTable(cmd.Body)
	switch {
	case err != nil:
		c.log.Warn("unreadable request of a broker", "request", protocol.RequestName(cmd.Code), "group", c.namespace.shown(group), "error", err)
		c.reply(conn, cmd, protocol.SystemError, err.Error())
	case s == nil:
		c.reply(conn, cmd, protocol.SystemError, fmt.Sprintf("this client has no group %q", group))
	default:
		s.reset(table)
		c.reply(conn, cmd, protocol.Success, "")
	}
}

// checkTransaction is code 39: a broker asks how a half message ended.
func (c *client) checkTransaction(conn *remoting.Conn, cmd *protocol.Command) {
	var h protocol.CheckTransactionRequest
	if err := h.DecodeFields(cmd.Fields); err != nil {
		c.log.Warn("unreadable request of a broker", "request", protocol.RequestName(cmd.Code), "error", err)
		return
	}
	body := bytes.Clone(cmd.Body)
	var rec protocol.Record
	if _, err := protocol.DecodeRecord(body, &rec); err != nil {
		c.log.Warn("unreadable half message in a broker's question", "addr", conn.RemoteAddr(), "error", err)
		return
	}
	group, _ := protocol.Property(rec.Properties, protocol.PropProducerGroup)
	s := c.checker(group)
	if s == nil {
		c.log.Debug("no producer can answer about a half message; the broker will ask another", "group", c.namespace.shown(group), "topic", c.namespace.shown(rec.Topic))
		return
	}
	if !s.checks.submit(func() { s.check(conn, &h, &rec) }) {
		c.log.Warn("too many questions about half messages at once; the broker will ask again", "group", c.namespace.shown(group), "waiting", maxChecksWaiting)
	}
}

// workers runs tasks on a bounded number of goroutines that end when there is
// nothing to do.
type workers struct {
	c       *client
	limit   int // goroutines
	waiting int // tasks beyond those

	mu      sync.Mutex // guards the following
	tasks   []func()
	running int
}

// submit runs the task soon, or returns false when too many wait.
func (w *workers) submit(task func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.tasks) >= w.waiting {
		return false
	}
	w.tasks = append(w.tasks, task)
	if w.running < w.limit && w.c.run(w.work) {
		w.running++
	}
	return true
}

func (w *workers) work() {
	for {
		w.mu.Lock()
		if len(w.tasks) == 0 || w.c.ctx.Err() != nil {
			w.running--
			w.mu.Unlock()
			return
		}
		task := w.tasks[0]
		w.tasks = w.tasks[1:]
		w.mu.Unlock()
		w.guard(task)
	}
}

// guard keeps a panic of the user's code from ending the process.
func (w *workers) guard(task func()) {
	defer func() {
		if v := recover(); v != nil {
			w.c.log.Error("panic in a callback", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	task()
}
