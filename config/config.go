package config

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
)

// EnvNameServers is Apache's own variable, "host:port;host:port".
const EnvNameServers = "NAMESRV_ADDR"

// Config configures one client of one cluster. The zero value of every field
// means its default.
type Config struct {
	// NameServers are "host:port" addresses; an entry may also hold several,
	// "a:9876;b:9876", or be the URL of an endpoint that answers with them, such as
	// http://config.example.com:8080/rocketmq/nsaddr, which is asked every 2 minutes.
	// A host that has several addresses stands for all of them: one that works is
	// used. Without any, NAMESRV_ADDR gives them.
	NameServers []string `key:"name_servers"`
	// Driver names the driver: "native" by default, or one that the program
	// links with rocketkit.WithDriver.
	Driver string `key:"driver"`
	// Namespace is put before the names of topics and groups on the wire
	// ("shop%orders"), and is not seen otherwise; see message.WithNamespace. The
	// names of an administrator and in the driver's log are those of the wire.
	Namespace string `key:"namespace"`
	// VIPChannel sends messages to the port two below each broker's, where Apache's
	// brokers serve producers by themselves; false by default.
	VIPChannel  bool        `key:"vip_channel"`
	Credentials Credentials `key:"credentials"`
	TLS         TLS         `key:"tls"`
	Producer    Producer    `key:"producer"`
	Consumers   []Consumer  `key:"consumers"`
	Telemetry   Telemetry   `key:"telemetry"`
	// LogLevel is the least level that the client logs, "debug", "info", "warn" or
	// "error", of what its logger takes; everything by default.
	LogLevel string `key:"log_level" reload:"now"`
}

// Credentials sign requests where the server's ACL asks for it. With the ACL 2.0 of 5.x a
// consumer's user needs Sub on the topics and on the group, and Get on the group, without
// which members cannot tell that their subscriptions differ.
type Credentials struct {
	AccessKey string `key:"access_key"`
	SecretKey string `key:"secret_key" secret:"true"`
	// SecretKeyFile is a file that holds the secret key, instead of SecretKey.
	SecretKeyFile string `key:"secret_key_file"`
	SecurityToken string `key:"security_token" secret:"true"`
}

// String hides the secrets.
func (c Credentials) String() string {
	switch {
	case c == (Credentials{}):
		return "none"
	case c.SecretKeyFile != "":
		return fmt.Sprintf("access key %s, secret in %s", c.AccessKey, c.SecretKeyFile)
	}
	return fmt.Sprintf("access key %s, secret redacted", c.AccessKey)
}

// GoString hides the secrets from %#v.
func (c Credentials) GoString() string { return "config.Credentials{" + c.String() + "}" }

// LogValue hides the secrets.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText hides the secrets from JSON and the like.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// TLS configures encrypted connections. Servers are always verified.
type TLS struct {
	Enabled bool `key:"enabled"`
	// CAFile holds the certificates that vouch for the servers, PEM; the
	// system's by default.
	CAFile string `key:"ca_file"`
	// CertFile and KeyFile identify this client, PEM.
	CertFile string `key:"cert_file"`
	KeyFile  string `key:"key_file"`
	// ServerName is the name in the servers' certificates, the host that is
	// dialled by default.
	ServerName string `key:"server_name"`
}

// Producer configures the client's producers.
type Producer struct {
	// Group is the producer group when NewProducer is given "".
	Group string `key:"group"`
	// SendTimeout bounds a send with all its attempts; 3s by default.
	SendTimeout time.Duration `key:"send_timeout"`
	// AttemptTimeout bounds each attempt; by default one may use all of SendTimeout.
	AttemptTimeout time.Duration `key:"attempt_timeout"`
	// Retries is how often a failed send is tried again; nil means 2.
	Retries *int `key:"retries"`
	// RetryAsync is nil for the default, true: asynchronous sends are tried again
	// too.
	RetryAsync *bool `key:"retry_async"`
	// RetryUnknownOutcome tries again also what may be stored already.
	RetryUnknownOutcome bool `key:"retry_unknown_outcome"`
	// MaxMessageSize limits a body; 4MiB by default.
	MaxMessageSize Size `key:"max_message_size"`
	// Linger is how long a message waits for others that share its request; 0s,
	// the default, does not wait.
	Linger time.Duration `key:"linger"`
	// BatchBytes is how many bytes such a request gathers; 32KiB by default.
	BatchBytes Size `key:"batch_bytes"`
	// Compression is how bodies over CompressOver are packed: "zlib", the
	// default, "lz4", "zstd" or "none".
	Compression string `key:"compression"`
	// CompressOver packs bodies that are larger; 4KiB by default.
	CompressOver Size `key:"compress_over"`
	// CompressionLevel is 1 (fast) to 9 (small), for zstd to 22; 5 by default. lz4 has none.
	CompressionLevel int `key:"compression_level"`
	// MaxInFlight is how many sends may be under way; 1024 by default.
	MaxInFlight int `key:"max_in_flight"`
	// MaxInFlightBytes is how many bytes of bodies may be under way; 64MiB by
	// default.
	MaxInFlightBytes Size `key:"max_in_flight_bytes"`
	// FailFast fails a send that finds no place in flight instead of waiting.
	FailFast bool `key:"fail_fast"`
	// FaultAvoidance keeps messages away from brokers that failed; nil is the default,
	// true.
	FaultAvoidance *bool `key:"fault_avoidance"`
	// StableKeys moves few sharding keys when brokers come and go (producer.StableKeys).
	StableKeys bool `key:"stable_keys"`
	// AvoidSlow keeps messages away from brokers that answer late, and asks those that
	// failed whether they answer (Java's sendLatencyFaultEnable).
	AvoidSlow bool `key:"avoid_slow"`
	// RateLimit is how many messages a second may be sent; without limit by
	// default.
	RateLimit float64 `key:"rate_limit" reload:"now"`
	// RequireDurable makes errors of results that say that a message is stored
	// less safely than the broker is configured to store.
	RequireDurable bool    `key:"require_durable"`
	Breaker        Breaker `key:"breaker"`
}

// Breaker configures the circuit breaker of each broker.
type Breaker struct {
	// Enabled is nil for the default, true.
	Enabled *bool `key:"enabled"`
	// Failures in a row open the circuit; 5 by default.
	Failures int `key:"failures"`
	// OpenFor is how long it stays open; 10s by default.
	OpenFor time.Duration `key:"open_for"`
}

// Consumer configures one consumer group.
type Consumer struct {
	Group string `key:"group"`
	// Model is "clustering", where each message goes to one member, or "broadcasting",
	// where it goes to all (consumer.Broadcast). By default it is what the program says,
	// which is clustering unless it says otherwise.
	Model string `key:"model"`
	// Instance is the name by which a broadcasting member finds its offsets again;
	// "DEFAULT" by default.
	Instance string `key:"instance"`
	// OffsetDir is where they are kept; ~/.rocketmq_offsets by default.
	OffsetDir string `key:"offset_dir"`
	// Order is "queue" to handle each queue's messages in order (consumer.Ordered) and
	// "sharding_key" for those of each sharding key (consumer.OrderedBy). By default it
	// is what the program says.
	Order string `key:"order"`
	// Suspend is how long what is in order rests after a failure; 1s by default.
	Suspend time.Duration `key:"suspend"`
	// From says where a group without offsets begins: "last", the default, "first",
	// or a time such as 2026-01-31T08:00:00Z (RFC 3339).
	From string `key:"from"`
	// Allocation shares a topic's queues among the members, by the same strategy in each:
	// "averagely", the default, "by_circle" or "consistent_hash".
	Allocation string `key:"allocation"`
	// Concurrency is how many messages each handler works on at once; 20 by
	// default.
	Concurrency int `key:"concurrency" reload:"now"`
	// PullBatch is the most messages in one pull; 32 by default.
	PullBatch int `key:"pull_batch"`
	// MaxUnsettled, MaxUnsettledBytes and MaxSpan are when pulling from a queue pauses:
	// with so many messages at work, 1000 by default, so many bytes of bodies, 100MiB by
	// default, or offsets between the first and the last of them, 2000 by default.
	MaxUnsettled      int  `key:"max_unsettled"`
	MaxUnsettledBytes Size `key:"max_unsettled_bytes"`
	MaxSpan           int  `key:"max_span"`
	// PullWait is how long a Puller or a SimpleConsumer waits for a message; 15s by
	// default. It changes nothing for a consumer with handlers.
	PullWait time.Duration `key:"pull_wait"`
	// Invisible is how long a SimpleConsumer has for a message before others get it; 60s
	// by default. It changes nothing for a consumer with handlers.
	Invisible time.Duration `key:"invisible"`
	// Backoff has other delays than RocketMQ's levels.
	Backoff Backoff `key:"backoff"`
	// StrictRetryDelay refuses to round such delays up to levels.
	StrictRetryDelay bool `key:"strict_retry_delay"`
	// MaxRetries is how often a failed message is delivered again before it is
	// dead-lettered; nil leaves it to the handlers, 16 by default.
	MaxRetries *int `key:"max_retries"`
	// ConsumeTimeout is the deadline of a handler's ctx; 15m by default.
	ConsumeTimeout time.Duration `key:"consume_timeout"`
	// ShutdownTimeout bounds a drain; 30s by default.
	ShutdownTimeout time.Duration `key:"shutdown_timeout"`
	Handlers        []Handler     `key:"handlers"`
}

// Handler configures one handler of a group, by its name.
type Handler struct {
	Name string `key:"name"`
	// Enabled is nil for the default, true. One that is not is left out of the group's
	// subscription, so that all members must agree.
	Enabled *bool `key:"enabled"`
	// Paused holds the handler: its messages wait. See consumer.Consumer.Pause.
	Paused bool `key:"paused" reload:"now"`
	// Concurrency, MaxRetries, Backoff and ConsumeTimeout are the group's by default.
	Concurrency    int           `key:"concurrency" reload:"now"`
	MaxRetries     *int          `key:"max_retries"`
	Backoff        Backoff       `key:"backoff"`
	ConsumeTimeout time.Duration `key:"consume_timeout"`
	// RateLimit is how many messages a second it begins; without limit by default.
	RateLimit float64 `key:"rate_limit" reload:"now"`
	// BatchSize is the most messages in a call of a batch handler, 32 by default, and
	// BatchWait how long one waits for others; 0s, the default, takes what is there.
	BatchSize  int           `key:"batch_size"`
	BatchWait  time.Duration `key:"batch_wait"`
	KillSwitch KillSwitch    `key:"kill_switch"`
}

// Backoff are growing delays of retries, see retry.Backoff.
type Backoff struct {
	// Base is the first delay; without it there is no back-off.
	Base time.Duration `key:"base"`
	// Factor is what each delay is multiplied with for the next; 2 by default.
	Factor float64 `key:"factor"`
	// Max is the longest; 2h by default.
	Max time.Duration `key:"max"`
	// Jitter is the share of each delay of which up to all is taken off at random, 0 to
	// 1; 0 by default.
	Jitter float64 `key:"jitter"`
}

// KillSwitch pauses a handler for a while when its messages fail, see
// consumer.KillSwitch.
type KillSwitch struct {
	Enabled bool `key:"enabled"`
	// Ratio of failed messages that pauses it; 0.5 by default.
	Ratio float64 `key:"ratio"`
	// AtLeast so many messages were handled within the Window; 20 by default.
	AtLeast int `key:"at_least"`
	// Window is how long is counted; 1m by default.
	Window time.Duration `key:"window"`
	// PauseFor is how long it is paused; 1m by default.
	PauseFor time.Duration `key:"pause_for"`
}

// Telemetry configures what is told to OpenTelemetry, and RocketMQ's own message trace.
type Telemetry struct {
	// MessageTrace writes RocketMQ's own message trace of what is sent and consumed, for
	// mqadmin queryMsgTraceById and the dashboard. Nil leaves it to the program
	// (rocketkit.WithMessageTrace), which does not unless it says so.
	MessageTrace *bool `key:"message_trace"`
	// MessageTraceTopic is where that goes; RMQ_SYS_TRACE_TOPIC by default. It has no
	// namespace.
	MessageTraceTopic string `key:"message_trace_topic"`
	// Traces are made where the program gives a TracerProvider, unless this is
	// false.
	Traces *bool `key:"traces"`
	// Metrics are told where the program gives a MeterProvider, unless this is false.
	Metrics *bool `key:"metrics"`
}

// WithDefaults returns c with its name servers as a list, from NAMESRV_ADDR when
// there are none, and the driver named. What producers and consumers leave out
// gets its default from them.
func (c Config) WithDefaults() Config { return c.withDefaults(os.Getenv) }

func (c Config) withDefaults(getenv func(string) string) Config {
	c.NameServers = SplitAddresses(c.NameServers...)
	if len(c.NameServers) == 0 {
		c.NameServers = SplitAddresses(getenv(EnvNameServers))
	}
	if c.Driver == "" {
		c.Driver = "native"
	}
	return c
}

// SplitAddresses makes a list of "a:9876;b:9876" and the like; commas and white
// space separate too.
func SplitAddresses(texts ...string) []string {
	var all []string
	for _, t := range texts {
		all = append(all, strings.FieldsFunc(t, func(r rune) bool { return strings.ContainsRune(";, \t\r\n", r) })...)
	}
	return all
}

// ConsumerOf returns what is configured for a consumer group.
func (c Config) ConsumerOf(group string) (Consumer, bool) {
	for _, cc := range c.Consumers {
		if cc.Group == group {
			return cc, true
		}
	}
	return Consumer{}, false
}
