package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/broker-lite/internal/halfmsg"
	"github.com/rocketkit/rocketkit/broker-lite/internal/index"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/pop"
	"github.com/rocketkit/rocketkit/broker-lite/internal/queuelock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/register"
	"github.com/rocketkit/rocketkit/broker-lite/internal/retention"
	"github.com/rocketkit/rocketkit/broker-lite/internal/schedule"
	"github.com/rocketkit/rocketkit/broker-lite/internal/session"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/timer"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// errShuttingDown refuses what comes after Drain has begun.
var errShuttingDown = fmt.Errorf("the broker is shutting down: %w", store.ErrClosed)

// Options configure a Broker. Config must have been validated; FS, Clock, Host and
// Client are required.
type Options struct {
	Config config.Config
	FS     vfs.FS
	Clock  clock.Clock
	Logger *slog.Logger // nil discards

	// Host and Port are what clients dial: the address in the route, in records and
	// in message ids.
	Host string
	Port int
	// Client dials the name servers of Config. It is the caller's, to close after
	// Close.
	Client *remoting.Client

	// ConfFile is the broker.conf that Config was read from: changes at run time are
	// written into it. "" keeps them until Close.
	ConfFile string

	// StrictOffsets lets a group without an offset begin where it asks to begin.
	// Without it one that asks for the end of a young queue gets its beginning, as on
	// Apache.
	StrictOffsets bool
	// Reply sends an answer; nil means Conn.Reply. Fault injection sets it.
	Reply func(c *remoting.Conn, resp *protocol.Command, h protocol.Header, body []byte) error
}

// Broker serves clients. Open makes one.
type Broker struct {
	config        config.Config                 // as it was at the start
	live          atomic.Pointer[config.Config] // as it is: what can change is read by conf
	configChanges atomic.Int64
	confFile      string        // a change is kept here; "" for nowhere
	turn          chan struct{} // of capacity 1: held by an admin change that must not meet another
	clock         clock.Clock
	logger        *slog.Logger
	host          string // brokerIP1
	storeHost     netip.AddrPort
	levels        protocol.DelayLevels
	strictOffsets bool
	replier       func(c *remoting.Conn, resp *protocol.Command, h protocol.Header, body []byte) error
	stamp         []byte // the properties that every message gets
	traceOn       string
	ids           *protocol.IDGenerator
	stats         stats
	fs            vfs.FS
	handlers      handlers // made once, read only
	acl           *access  // nil without aclEnable

	store     *store.Store
	meta      *meta.Meta
	sessions  *session.Manager
	schedule  *schedule.Service
	timer     *timer.Service // nil without timerWheelEnable
	half      *halfmsg.Service
	retention *retention.Cleaner
	index     *index.Index // nil without messageIndexEnable
	queries   *queries
	pops      *pop.Service
	holder    *holder
	locks     *queuelock.Table
	popWaits  *popWaits
	registrar *register.Registrar
	arrivals  atomic.Bool // the services that hear of arrivals are there

	ops    sync.Pool // of *sendOp
	bodies sync.Pool // of *[]byte

	popTurn atomic.Int64 // counts pops, so that each begins at another queue

	closing atomic.Bool   // no more messages are taken
	sending atomic.Int64  // requests whose answer waits for the store
	quiet   chan struct{} // of capacity 1: closing, and sending has become 0
	news    news

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	tasksMu sync.Mutex // guards the following
	tasks   sync.WaitGroup
	ended   bool // no more tasks begin
}

// Open recovers the store and begins to deliver, to check and to register. The
// caller must be listening already.
func Open(ctx context.Context, o Options) (*Broker, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Reply == nil {
		o.Reply = func(c *remoting.Conn, resp *protocol.Command, h protocol.Header, body []byte) error {
			return c.Reply(resp, h, body)
		}
	}
	levels, err := protocol.ParseDelayLevels(o.Config.MessageDelayLevel)
	if err != nil {
		return nil, err
	}
	storeHost, err := resolve(ctx, o.Host, o.Port)
	if err != nil {
		return nil, err
	}
	b := &Broker{
		config: o.Config, clock: o.Clock, logger: o.Logger, host: o.Host, storeHost: storeHost, levels: levels,
		strictOffsets: o.StrictOffsets, replier: o.Reply, traceOn: strconv.FormatBool(o.Config.TraceOn), fs: o.FS,
		ids: protocol.NewIDGenerator(storeHost.Addr(), os.Getpid()), quiet: make(chan struct{}, 1), turn: make(chan struct{}, 1), confFile: o.ConfFile,
	}
	b.queries = newQueries()
	b.live.Store(&o.Config)
	b.locks = queuelock.New(o.Logger)
	b.handlers = b.families()
	b.stats.start()
	b.news.groups = map[*remoting.Conn]map[string]struct{}{}
	b.stamp = protocol.AppendProperty(b.stamp, protocol.PropMsgRegion, o.Config.RegionID)
	b.stamp = protocol.AppendProperty(b.stamp, protocol.PropTraceOn, b.traceOn)
	b.stamp = protocol.AppendProperty(b.stamp, protocol.PropCluster, o.Config.ClusterName)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if b.acl, err = openACL(&b.config, o.Logger); err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	if err := b.open(ctx, o); err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	return b, nil
}

// resolve finds the IP address that records carry.
func resolve(ctx context.Context, host string, port int) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		list, lookupErr := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if lookupErr != nil || len(list) == 0 {
			return netip.AddrPort{}, fmt.Errorf("brokerIP1=%s is neither an IP address nor a host name that can be resolved: %w", host, lookupErr)
		}
		addr = list[0]
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(port)), nil
}

// open opens the parts, in the order in which they need each other.
func (b *Broker) open(ctx context.Context, o Options) (err error) {
	c := &b.config
	dir := c.StorePath
	if b.store, err = store.Open(ctx, store.Options{
		FS: o.FS, Dir: dir, CommitLogDir: c.CommitLogDir(), SegmentSize: c.CommitLogFileSize, QueueFileEntries: c.QueueFileEntries(),
		SyncFlush: c.SyncFlush, FlushInterval: c.FlushInterval, SyncFlushTimeout: c.SyncFlushTimeout,
		Now: o.Clock.Now, Logger: o.Logger, OnArrive: b.arrived, TagsCode: TagsCode(b.levels),
	}); err != nil {
		return err
	}
	trace := ""
	if c.TraceTopic {
		trace = c.TraceTopicName
	}
	if b.meta, err = meta.Open(meta.Options{
		FS: o.FS, Dir: dir, Logger: o.Logger, ClusterName: c.ClusterName, BrokerName: c.BrokerName,
		AutoCreateTopic: c.AutoCreateTopic, AutoCreateGroup: c.AutoCreateGroup, ClusterTopic: c.ClusterTopic, BrokerTopic: c.BrokerTopic,
		TraceTopicName: trace, TimerTopic: c.TimerEnable, DefaultTopicQueueNums: c.DefaultTopicQueueNums, DelayLevels: len(b.levels),
		FlushOffsets: c.FlushOffsetsInterval, OnTopicsChanged: b.topicsChanged,
	}); err != nil {
		return err
	}
	b.adoptTopics()
	b.meta.Offsets.Clamp(b.store.MaxOffset)
	b.sessions = session.New(session.Options{Logger: o.Logger, Expiry: c.ClientExpiry, OnExpire: b.notify})
	b.holder = newHolder(b)
	if c.MessageIndex {
		if b.index, err = index.Open(index.Options{FS: o.FS, Dir: c.IndexDir(), Store: b.store, Logger: o.Logger}); err != nil {
			return err
		}
	}
	b.popWaits = newPopWaits(b)
	if err := b.openDelayed(o); err != nil {
		return err
	}
	b.retention = retention.Start(retention.Options{
		Settings: retentionSettings(c), Store: b.store, Clock: o.Clock, FS: o.FS, Dirs: []string{c.CommitLogDir(), dir},
		Needed: b.neededLog, Logger: o.Logger,
	})
	b.arrivals.Store(true)
	b.registrar = register.Start(register.Options{
		Client: o.Client, NameServers: c.NameServers, Logger: o.Logger, ClusterName: c.ClusterName, BrokerName: c.BrokerName,
		Addr: net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), Permission: func() int32 { return int32(b.conf().Permission) },
		Topics: b.meta.Topics.Snapshot, ChangedSince: b.meta.Topics.ChangedSince, OnOrderTopics: b.meta.Topics.MarkOrdered, Period: c.RegisterPeriod, Timeout: c.RegisterTimeout,
	})
	// After the registrar, which it tells of retry topics that it makes.
	return b.openPops(o)
}

// openDelayed opens what holds messages back: transactions, delay levels and timers.
func (b *Broker) openDelayed(o Options) (err error) {
	c := &b.config
	tagsOf := TagsCode(b.levels)
	tagsCode := func(r *protocol.Record) int64 {
		b.adopt(r)
		return tagsOf(r)
	}
	if b.half, err = halfmsg.Open(halfmsg.Options{
		Store: b.store, Meta: b.meta, Clock: o.Clock, Timeout: c.TransactionTimeout, Interval: c.TransactionCheckInterval,
		MaxCheck: c.TransactionCheckMax, TagsCode: tagsCode, Divert: b.divertCommit, Check: b.askOutcome,
		StoreHost: b.storeHost, BrokerName: c.BrokerName, Logger: o.Logger,
	}); err != nil {
		return err
	}
	if b.schedule, err = schedule.Open(schedule.Options{
		Store: b.store, Clock: o.Clock, Levels: b.levels, TagsCode: tagsCode, FS: o.FS,
		Path: filepath.Join(c.StorePath, "config", "delayOffset.json"), Logger: o.Logger,
	}); err != nil {
		return err
	}
	if c.TimerEnable {
		b.timer, err = timer.Open(timer.Options{
			Store: b.store, Clock: o.Clock, TagsCode: tagsCode, FS: o.FS, Dir: filepath.Join(c.StorePath, "timer"), Logger: o.Logger,
		})
	}
	return err
}

func (b *Broker) openPops(o Options) (err error) {
	c := &b.config
	b.pops, err = pop.Open(pop.Options{
		Store: b.store, Offsets: b.meta.Offsets, Clock: o.Clock, FS: o.FS, Dir: filepath.Join(c.StorePath, "pop"), Journal: meta.ReviveTopic(c.ClusterName),
		RetryTopic: b.popRetryTopic, TagsCode: TagsCode(b.levels), StoreHost: b.storeHost, MaxPerQueue: c.PopMaxInvisible, Wake: b.popWake, Logger: o.Logger,
	})
	return err
}

// adoptTopics makes topics anew that the store has messages of: the process was
// killed before it had saved them.
func (b *Broker) adoptTopics() {
	for _, q := range b.store.Queues() {
		b.meta.Topics.Adopt(q.Topic, q.ID+1)
	}
}

// adopt does so for the topic of a message that the broker itself delivers, which may be
// the first in the store that is of it.
func (b *Broker) adopt(r *protocol.Record) { b.meta.Topics.Adopt(r.Topic, r.QueueID+1) }

// topicsChanged is meta's OnTopicsChanged.
func (b *Broker) topicsChanged() {
	if b.arrivals.Load() && b.registrar != nil {
		b.registrar.TopicsChanged()
	}
}

func (b *Broker) announce(ctx context.Context, topics ...string) error {
	return b.registrar.Announce(ctx, topics...)
}

// WaitRegistered waits until a name server knows the broker.
func (b *Broker) WaitRegistered(ctx context.Context) error { return b.registrar.WaitRegistered(ctx) }

// TryRegister waits until every name server knows the broker or has failed, and no
// longer than d: they may come later, and the broker goes on trying. The error is
// ctx's.
func (b *Broker) TryRegister(ctx context.Context, d time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if err := b.announce(limited); errors.Is(err, context.DeadlineExceeded) { // of others it has told
		b.logger.Warn("no name server has answered; clients do not find the broker until one does", "nameServers", b.config.NameServers, "after", d)
	}
	return ctx.Err()
}

// arrived is the store's OnArrive.
func (b *Broker) arrived(topic string, queueID int32, maxOffset, tagsCode int64) {
	if !b.arrivals.Load() {
		return
	}
	switch {
	case topic == meta.ScheduleTopic:
		b.schedule.Arrived(queueID, tagsCode)
	case topic == meta.TimerTopic && b.timer != nil:
		b.timer.Arrived()
	}
	if b.index != nil {
		b.index.Arrived()
	}
	b.holder.arrived(topic, queueID, maxOffset, tagsCode)
	b.popWaits.arrived(topic, queueID, tagsCode)
}

// ConnOpened is remoting.ServerOptions.OnOpen.
func (b *Broker) ConnOpened(c *remoting.Conn) { c.Attach(newPeer(c)) }

// ConnClosed is remoting.Options.OnClose.
func (b *Broker) ConnClosed(c *remoting.Conn, _ error) {
	b.holder.drop(c)
	b.popWaits.drop(c)
	b.notify(b.sessions.ConnClosed(c))
}

// Handle serves one request on its connection's reader goroutine. It is a
// remoting.Handler.
func (b *Broker) Handle(c *remoting.Conn, cmd *protocol.Command) {
	if p, ok := c.Attachment().(*peer); ok {
		b.handle(p, cmd)
	}
}

// HandleLater serves one request on any other goroutine.
func (b *Broker) HandleLater(c *remoting.Conn, cmd *protocol.Command) { b.handle(newPeer(c), cmd) }

func (b *Broker) handle(p *peer, cmd *protocol.Command) {
	if b.acl != nil {
		if err := b.acl.guard.Check(p.born.Addr(), cmd); err != nil {
			b.reply(p.conn, cmd, failed(err))
			return
		}
	}
	if h := b.handlers[cmd.Code]; h != nil {
		h(p, cmd)
		return
	}
	b.reply(p.conn, cmd, unsupported(cmd.Code))
}

// spawn runs f on a goroutine that Close waits for; false: not at all, Close has
// begun.
func (b *Broker) spawn(f func()) bool {
	b.tasksMu.Lock()
	defer b.tasksMu.Unlock()
	if !b.ended {
		b.tasks.Go(f)
	}
	return !b.ended
}

// sent ends what sending counts.
func (b *Broker) sent() {
	if b.sending.Add(-1) == 0 && b.closing.Load() {
		select {
		case b.quiet <- struct{}{}:
		default:
		}
	}
}
