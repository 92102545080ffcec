package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/pacing"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// Option sets something of a Producer; see New. A later one wins.
type Option interface{ applyProducer(*settings) }

// SendOption is an Option that With can set for some of a producer's sends, too.
type SendOption interface {
	Option
	applySends(*sends)
}

type option func(*settings)

func (f option) applyProducer(s *settings) { f(s) }

type sendOption func(*sends)

func (f sendOption) applyProducer(s *settings) { f(&s.sends) }

func (f sendOption) applySends(s *sends) { f(s) }

// Retries is how often a failed send is tried again, 2 by default (Apache's
// retryTimesWhenSendFailed); 0 makes one attempt. It holds for synchronous and
// asynchronous sends alike.
func Retries(n int) SendOption { return sendOption(func(s *sends) { s.retries = n }) }

// RetryAsync says whether asynchronous sends are tried again too; they are by
// default. With false SendAsync makes one attempt, as Java's does.
func RetryAsync(on bool) SendOption { return sendOption(func(s *sends) { s.retryAsync = on }) }

// RequireDurable makes an error, a *NotDurableError, of every status but
// message.SendOK: the message is stored, but not as safely as the broker is
// configured to store. A half message that is not is rolled back, and its local
// transaction does not run.
func RequireDurable() SendOption { return sendOption(func(s *sends) { s.requireDurable = true }) }

// RateLimit lets so many messages a second pass, 0.001 to 1e9, after a burst of a tenth of
// that; further ones wait until their ctx ends, or fail at once with FailFast. It
// counts messages, in batches too, and not their attempts.
func RateLimit(perSecond float64) Option {
	return option(func(s *settings) { s.rateLimit, s.limited = perSecond, true })
}

// RetryUnknownOutcome tries again also when nobody knows whether the attempt
// before has stored the message: the connection broke, or AttemptTimeout passed,
// after the request was written. The message may then be stored twice, with one
// id. Without it such a send ends with message.ErrOutcomeUnknown.
func RetryUnknownOutcome() SendOption { return sendOption(func(s *sends) { s.retryUnknown = true }) }

// SendTimeout bounds a send with all its attempts and pauses, 3 s by default. It
// counts from when the send has its place in flight; only ctx bounds the wait for
// one. An earlier deadline of ctx wins.
func SendTimeout(d time.Duration) SendOption { return sendOption(func(s *sends) { s.sendTimeout = d }) }

// AttemptTimeout bounds each attempt, so that a silent broker leaves time for
// another. By default an attempt may use all of SendTimeout. What passes it
// after it was written is tried again with RetryUnknownOutcome only.
func AttemptTimeout(d time.Duration) SendOption {
	return sendOption(func(s *sends) { s.attemptTimeout = d })
}

// MaxMessageSize limits a body, and the bodies and properties of one batch
// request, in bytes: 4 MiB by default (the server's maxMessageSize).
func MaxMessageSize(n int) Option { return option(func(s *settings) { s.maxMessageSize = n }) }

// MaxInFlight is how many sends may be under way, 1024 by default. Further ones
// wait for a place until their ctx ends.
func MaxInFlight(n int) Option { return option(func(s *settings) { s.maxInFlight = n }) }

// MaxInFlightBytes is how many bytes of bodies may be under way, 64 MiB by
// default. A message that is larger is sent alone.
func MaxInFlightBytes(n int64) Option { return option(func(s *settings) { s.maxInFlightBytes = n }) }

// FailFast lets a send that finds no place in flight fail with
// message.ErrOverloaded at once instead of waiting.
func FailFast() SendOption { return sendOption(func(s *sends) { s.failFast = true }) }

// Select chooses the queue of every message; all attempts go to the queue it
// chooses. By default messages with a sharding key go where its hash says
// (ByShardingKey) and others to all queues in turn.
func Select(sel QueueSelector) SendOption { return sendOption(func(s *sends) { s.selector = sel }) }

// StableKeys chooses the queue of a sharding key so that few keys move when queues come
// and go (rendezvous hashing): when a broker is lost, its keys go to other queues, and to
// their own again when it is back; all others stay. It is not how Apache's clients
// choose, so all producers of a topic must do it. See ByShardingKey, the default.
func StableKeys() Option { return option(func(s *settings) { s.keySelector = byRendezvous }) }

// FaultAvoidance says whether messages that may go to any queue keep away from
// brokers that failed: for 1 s after the first failure, doubled with each one in
// a row up to 30 s, as long as there are others. It is on by default.
func FaultAvoidance(on bool) Option { return option(func(s *settings) { s.faultAvoidance = on }) }

// AvoidSlow keeps messages that may go to any queue also away from brokers that have
// answered late: for 2 s after 550 ms, up to 30 s after 15 s, as Java's producer does with
// sendLatencyFaultEnable. And where the driver can, a broker that failed is asked by a
// request of its own, once its time is over and messages are sent, and gets messages again
// when it answers: until then no message tries it (startDetectorEnable). When all brokers
// are slow or fail, all are used.
func AvoidSlow() Option { return option(func(s *settings) { s.avoidSlow = true }) }

// Linger lets messages that go to one queue share a request: each waits for others
// for at most d, until BatchBytes have gathered. It costs d of latency and gains
// throughput where many goroutines send, or SendAsync is used. Every message keeps
// its own result and callback, and its ctx: a request goes on without a message
// whose ctx has ended. A request is stored as a whole or not at all, and is tried
// again as a whole. Delayed and transactional messages, oneway sends and SendBatch
// have requests of their own, and messages that share one are not packed. 0, the
// default, does not wait.
func Linger(d time.Duration) Option { return option(func(s *settings) { s.linger = d }) }

// BatchBytes is how many bytes Linger gathers, 32 KiB by default, as Java's
// auto-batching does. MaxMessageSize bounds it.
func BatchBytes(n int) Option { return option(func(s *settings) { s.batchBytes = n }) }

// Compress packs the bodies of messages that are sent one by one, by default
// those of more than 4 KiB with zlib, as Java's producer does. A body that does
// not get smaller travels as it is. Consumers unpack them: all clients read zlib,
// clients of 5.x and this one LZ4 and Zstandard too. A zero Level is 5.
func Compress(c driver.Compression) Option {
	return option(func(s *settings) { s.compression, s.compress = c, true })
}

// NoCompression sends bodies as they are.
func NoCompression() Option {
	return option(func(s *settings) { s.compression.Over, s.compress = math.MaxInt, false })
}

// Breaker sets the circuit breaker of each broker.
func Breaker(b BreakerSettings) Option { return option(func(s *settings) { s.breaker = &b }) }

// NoBreaker does without circuit breakers.
func NoBreaker() Option { return option(func(s *settings) { s.breaker = nil }) }

// CallbackWorkers is how many callbacks of SendAsync run at once, 4 or twice
// GOMAXPROCS by default, whichever is more. Callbacks that block hold up others,
// and after MaxInFlight of them the senders. Senders that wait for a place add
// workers of their own, so that callbacks which send cannot deadlock.
func CallbackWorkers(n int) Option { return option(func(s *settings) { s.callbackWorkers = n }) }

// Intercept adds interceptors; the first sees a message first.
func Intercept(is ...Interceptor) Option {
	return option(func(s *settings) { s.interceptors = append(s.interceptors, is...) })
}

// Logger takes what the producer has to say; by default nothing is logged.
func Logger(l *slog.Logger) Option { return option(func(s *settings) { s.logger = l }) }

// Tracer makes a span of every send and lets its context travel with the
// message. nil makes none.
func Tracer(t *trace.Tracer) Option { return option(func(s *settings) { s.tracer = t }) }

// Checker answers for the half messages of a producer. Package txn implements it.
type Checker interface {
	// Validate reports what is wrong with it, its topics included; New asks.
	Validate() error
	// Topics are those that half messages go to: their brokers learn whom to ask
	// before anything is sent.
	Topics() []string
	// Check answers a broker's question about a half message whose sender did not
	// say how it ended. The error is logged; with it the state is usually
	// driver.TxUnknown, and the broker asks again. Several goroutines may ask at
	// once.
	Check(ctx context.Context, d *message.Delivery) (driver.TxState, error)
}

// Transactions lets the producer send transactional messages, for which c
// answers. It is for package txn; see txn.Kinds.
func Transactions(c Checker) Option {
	return option(func(s *settings) { s.checkers = append(s.checkers, c) })
}

// settings are a Producer's options.
type settings struct {
	sends            sends   // New's; a producer of With has its own
	rateLimit        float64 // messages a second
	limited          bool
	maxMessageSize   int
	maxInFlight      int
	maxInFlightBytes int64
	keySelector      QueueSelector // for sharding keys without a selector
	faultAvoidance   bool
	avoidSlow        bool
	linger           time.Duration
	batchBytes       int
	compression      driver.Compression
	compress         bool // it was asked for
	breaker          *BreakerSettings
	callbackWorkers  int
	interceptors     []Interceptor
	logger           *slog.Logger
	tracer           *trace.Tracer
	messages         *trace.MessageTracer
	checkers         []Checker // one, or none without transactions
	nils             int       // options that are nil
}

func defaults() settings {
	return settings{
		sends:            sends{retries: 2, retryAsync: true, sendTimeout: 3 * time.Second},
		maxMessageSize:   message.MaxBodySize,
		maxInFlight:      1024,
		maxInFlightBytes: 64 << 20,
		faultAvoidance:   true,
		keySelector:      ByShardingKey,
		batchBytes:       32 << 10,
		compression:      driver.Compression{Over: 4 << 10},
		breaker:          &BreakerSettings{},
		callbackWorkers:  max(4, 2*runtime.GOMAXPROCS(0)),
	}
}

// complete fills in what an option left out.
func (s *settings) complete() {
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.compression.Level == 0 {
		s.compression.Level = 5
	}
	if s.breaker != nil {
		b := *s.breaker
		if b.Failures == 0 {
			b.Failures = 5
		}
		if b.OpenFor == 0 {
			b.OpenFor = 10 * time.Second
		}
		s.breaker = &b
	}
}

// validate reports every mistake, joined.
func (s *settings) validate(group string, caps driver.Capabilities) error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("producer %q: "+format, append([]any{group}, args...)...))
		}
	}
	if err := message.CheckGroup(group); err != nil {
		remedy := ""
		if group == "" {
			remedy = "; name one, or configure producer.group"
		}
		errs = append(errs, fmt.Errorf("producer: %w%s", err, remedy))
	}
	refuse(s.nils > 0, "%d of the options are nil; remove them", s.nils)
	s.sends.validate(refuse)
	refuse(s.limited && !pacing.Fits(s.rateLimit), "RateLimit(%v): want %v to %v messages a second", s.rateLimit, pacing.Least, pacing.Most)
	refuse(s.maxMessageSize <= 0, "MaxMessageSize(%d) must be positive", s.maxMessageSize)
	refuse(s.maxInFlight <= 0, "MaxInFlight(%d) must be positive", s.maxInFlight)
	refuse(s.maxInFlightBytes <= 0, "MaxInFlightBytes(%d) must be positive", s.maxInFlightBytes)
	refuse(s.callbackWorkers <= 0, "CallbackWorkers(%d) must be positive", s.callbackWorkers)
	if b := s.breaker; b != nil {
		refuse(b.Failures < 0, "Breaker: Failures %d is negative", b.Failures)
		refuse(b.OpenFor < 0, "Breaker: OpenFor %s is negative", b.OpenFor)
	}
	refuse(s.avoidSlow && !s.faultAvoidance, "AvoidSlow and FaultAvoidance(false) exclude each other")
	refuse(s.linger < 0, "Linger(%s) is negative", s.linger)
	refuse(s.batchBytes <= 0, "BatchBytes(%d) must be positive", s.batchBytes)
	if s.linger > 0 && !caps.Batch {
		errs = append(errs, fmt.Errorf("producer %q: Linger: batches are %w by this driver", group, message.ErrUnsupported))
	}
	if s.compress {
		z := s.compression
		refuse(z.Over < 0, "Compress: Over %d is negative", z.Over)
		refuse(z.Level < 1 || z.Level > maxLevel(z.Kind), "Compress: Level %d: want 1 to %d for %s", z.Level, maxLevel(z.Kind), z.Kind)
		if !supports(caps, z.Kind) {
			errs = append(errs, fmt.Errorf("producer %q: Compress: %s is %w by this driver", group, z.Kind, message.ErrUnsupported))
		}
	}
	refuse(len(s.checkers) > 1, "Transactions was given %d times, and a broker asks one checker; name all kinds in one txn.Kinds", len(s.checkers))
	for _, c := range s.checkers {
		if err := validateChecker(c, caps); err != nil {
			errs = append(errs, fmt.Errorf("producer %q: transactions: %w", group, err))
		}
	}
	return errors.Join(errs...)
}

func maxLevel(k driver.CompressionKind) int {
	if k == driver.Zstd {
		return 22
	}
	return 9
}

func supports(caps driver.Capabilities, k driver.CompressionKind) bool {
	return k >= 0 && int(k) < len(caps.Compression) && caps.Compression[k]
}

// packing is what the driver is told; nil where it cannot, or is not to.
func (s *settings) packing(caps driver.Capabilities) *driver.Compression {
	if s.compression.Over == math.MaxInt || !supports(caps, s.compression.Kind) {
		return nil
	}
	return &s.compression
}

func validateChecker(c Checker, caps driver.Capabilities) error {
	if c == nil {
		return errors.New("the checker is nil; give one, or leave the option out")
	}
	var errs []error
	if !caps.Transactions {
		errs = append(errs, fmt.Errorf("%w by this driver", message.ErrUnsupported))
	}
	return errors.Join(append(errs, c.Validate())...)
}
