package driver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Factory makes a Driver. It must not wait for the network: a driver starts
// before its servers do.
type Factory func(ctx context.Context, cfg Config) (Driver, error)

// Config is what every driver needs to know.
type Config struct {
	// NameServers are "host:port" addresses, or URLs of endpoints that answer with
	// such, separated by semicolons; at least one.
	NameServers []string
	Credentials Credentials
	// Namespace is put before the names of topics and groups on the wire, as
	// message.WithNamespace does, and taken off what is handed up: deliveries, queues,
	// results and errors. "" is none.
	Namespace string
	// VIPChannel sends messages to the port two below the broker's, where Apache's
	// brokers serve producers with threads of their own (vipChannelEnabled).
	VIPChannel bool
	// TLS is nil for plain connections. Servers are verified unless it says
	// otherwise.
	TLS *tls.Config
	// Dial opens connections; nil means net.Dialer. Tests pass the virtual
	// network's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger is never nil.
	Logger *slog.Logger
	// InstanceName tells clients of one process apart; "" lets the driver make
	// a unique one.
	InstanceName string
	// RequestTimeout bounds each request that the driver makes on its own
	// account (routes, offsets, heartbeats). 0 means 3 s.
	RequestTimeout time.Duration
	// HeartbeatInterval and RouteInterval default to 30 s, RocketMQ's own.
	HeartbeatInterval, RouteInterval time.Duration
}

// Credentials sign requests where the server's ACL asks for it.
type Credentials struct {
	AccessKey, SecretKey, SecurityToken string
}

// String hides the secrets.
func (c Credentials) String() string {
	if c == (Credentials{}) {
		return "none"
	}
	return "access key " + c.AccessKey + ", secret redacted"
}

// GoString hides the secrets from %#v.
func (c Credentials) GoString() string { return "driver.Credentials{" + c.String() + "}" }

// LogValue hides the secrets.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Driver is one client of one cluster. Its methods may be called concurrently.
type Driver interface {
	Name() string
	Capabilities() Capabilities
	NewSender(SenderConfig) (Sender, error)
	NewSubscription(SubscriptionConfig, Sink) (Subscription, error)
	// Close ends every goroutine and connection. Senders and subscriptions must
	// be closed before.
	Close(ctx context.Context) error
}

// Capabilities are what a driver can do at all; what a server can do shows in
// its answers. A missing capability is refused with message.ErrUnsupported.
type Capabilities struct {
	Batch           bool           // SendBatchTo
	Compression     [Zstd + 1]bool // by CompressionKind
	Transactions    bool           // the Sender is a Transactor
	TimerMessages   bool           // Delay.After and Delay.At
	ExactRetryDelay bool           // Verdict.Delay is kept to the millisecond or second, not rounded to a level
	Ordered         bool           // SubscriptionConfig.Ordered
	Broadcast       bool           // SubscriptionConfig.Broadcast
}

// SenderConfig makes a Sender.
type SenderConfig struct {
	// Group is the producer group.
	Group string
	// MaxMessageSize limits a body, in bytes.
	MaxMessageSize int
	// Compression packs bodies; nil sends them as they are.
	Compression *Compression
	// Check answers the broker's question about a half message whose sender did
	// not say how it ended. Nil for producers without transactions. It may be
	// called by several goroutines at once.
	Check func(ctx context.Context, d *message.Delivery) TxState
	// CheckTopics are the topics of registered transactions: their brokers learn
	// of the group before it sends, so that check-backs reach a restarted process.
	CheckTopics []string
}

// Compression is how a sender packs the bodies of messages, but for those of a
// batch. A driver may leave a body as it is that does not get smaller.
type Compression struct {
	// Over packs bodies of more bytes than this.
	Over int
	// Kind is Zlib unless set.
	Kind CompressionKind
	// Level is 1 (fast) to 9 (small), for Zstd to 22. LZ4 takes no notice of it.
	Level int
}

// CompressionKind is how a body is packed.
type CompressionKind int

// Kinds of compression. Clients of 4.x read Zlib only.
const (
	Zlib CompressionKind = iota
	LZ4
	Zstd
)

func (k CompressionKind) String() string {
	switch k {
	case Zlib:
		return "zlib"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return "CompressionKind(" + strconv.Itoa(int(k)) + ")"
}

// Outgoing is one message on its way. The Message is the user's and must not be
// changed; the rest is the framework's.
type Outgoing struct {
	*message.Message
	// ID is the message's unique id (UNIQ_KEY), the same for every attempt.
	ID string
	// Extra are properties that interceptors add, such as the trace context.
	Extra []Property
}

// Property is one name and value.
type Property struct{ Name, Value string }

// Receipt is a broker's answer to one send.
type Receipt struct {
	Status          message.Status
	OffsetMessageID string // comma-joined for a batch
	QueueID         int    // where the broker stored it
	QueueOffset     int64
	TransactionID   string
	RecallHandle    string
	Addr            string // the broker's address
	Region          string // what the broker says of itself for the message trace
	Untraced        bool   // the broker has the message trace off (traceOn=false)
}

// Sender sends for one producer group.
type Sender interface {
	// NewID returns a new unique message id (UNIQ_KEY) in the driver's own
	// format. It is the same for every attempt at one message.
	NewID() string
	// Queues returns the queues of topic that can be written to now, sorted by
	// broker name and id as Apache's clients sort them, so that a key's hash
	// names the same queue everywhere. Of an ordered topic (orderTopicConf) they are all
	// that it has, in the configured order, also while a broker is gone. It asks the name servers when the topic
	// is not known. The slice is shared and must not be changed.
	Queues(ctx context.Context, topic string) ([]message.Queue, error)
	// SendTo makes one attempt at one queue. done is called exactly once, also
	// when ctx ends; it may run on the caller's goroutine or on a connection's
	// reader, and must not block. ctx ending never harms the connection. An error
	// is message.ErrOutcomeUnknown whenever something may have been written. The
	// Outgoing belongs to the driver until done is called. See WithoutTimer.
	SendTo(ctx context.Context, q message.Queue, m *Outgoing, done func(Receipt, error))
	// SendBatchTo sends messages of one topic in one request.
	SendBatchTo(ctx context.Context, q message.Queue, ms []*Outgoing, done func(Receipt, error))
	// SendOneway hands one message to the connection; nil says only that.
	SendOneway(ctx context.Context, q message.Queue, m *Outgoing) error
	// Close unregisters the group. Sends under way end with message.ErrClosed or
	// their outcome.
	Close(ctx context.Context) error
}

// Recaller is a Sender that can call timer messages back.
type Recaller interface {
	Sender
	// Recall asks the broker of a Receipt's RecallHandle not to deliver the message.
	// nil says that it has noted it. The error is message.ErrTooLate when the message
	// is delivered or about to be, message.ErrUnsupported where the server does not
	// recall, and message.ErrInvalidMessage for a handle that is none of topic's. The
	// Receipt has no more than the Addr and the Region of the broker, also of one that
	// refused.
	Recall(ctx context.Context, topic, handle string) (Receipt, error)
}

// Prober is a Sender that can ask whether a broker answers.
type Prober interface {
	Sender
	// Probe makes a small request to the broker of a queue; nil says that it answered.
	Probe(ctx context.Context, q message.Queue) error
}

// WithoutTimer returns ctx in a cheaper form for drivers that keep deadlines
// themselves: its Deadline and Err are ctx's, but its Done closes only when the
// caller of the send cancels, not at the deadline. So it needs no timer and no
// channel, which the producer's ctx makes when Done is first called. What
// belongs to a Sender that is being closed must be ended by its Close.
func WithoutTimer(ctx context.Context) context.Context {
	if u, ok := ctx.(interface{ WithoutTimer() context.Context }); ok {
		return u.WithoutTimer()
	}
	return ctx
}

// TxState is what is decided about a half message.
type TxState int

// States of a transaction. The zero value leaves it open: the broker asks again.
const (
	TxUnknown TxState = iota
	TxCommit
	TxRollback
)

func (s TxState) String() string {
	switch s {
	case TxCommit:
		return "commit"
	case TxRollback:
		return "rollback"
	}
	return "unknown"
}

// Transactor is a Sender that can send half messages.
type Transactor interface {
	Sender
	// SendTx sends m as a half message, runs local when it is stored, and tells
	// the broker the state. The error is the half message's: a failure to tell
	// the state is logged, since the broker will ask. A zero Queue lets the
	// driver choose. ctx bounds the half message's send only: local may take
	// longer, and the state is told under a time limit of the driver's own.
	SendTx(ctx context.Context, q message.Queue, m *Outgoing, local func(context.Context, Receipt) TxState) (Receipt, TxState, error)
}
