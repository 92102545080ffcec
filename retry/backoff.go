package retry

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Defaults of a Backoff.
const (
	defaultFactor = 2
	defaultMax    = 2 * time.Hour // RocketMQ's last delay level
)

// Backoff are growing delays: Base before the first retry, and before each further one
// Factor times as long, up to Max.
//
// They are kept by timer messages, to about a second, on brokers from 5.0 on that have
// not turned these off (timerWheelEnable) and as far ahead as these go (3 days by
// default, timerMaxDelaySec). Elsewhere each is rounded up to the next of RocketMQ's
// delay levels, the last of which is 2 h, and logged; that holds for driver/clientgo
// everywhere. In an ordered group the message waits in its place, for exactly that long.
type Backoff struct {
	// Base is the delay before the first retry; at least 1 ms.
	Base time.Duration
	// Factor is at least 1; 2 by default.
	Factor float64
	// Max is the longest delay; 2 h by default.
	Max time.Duration
	// Jitter is the share of each delay, 0 to 1, of which up to all is taken off at
	// random, lest what failed together comes again together: with 0.2, 10 s become 8 s
	// to 10 s. There is none by default.
	Jitter float64
	// Strict refuses to round delays to levels, those of After too. A driver that does
	// makes consumer.New fail, and a broker before 5.0 that is there its Start, with
	// message.ErrUnsupported. Where it turns out later, the message waits in the process
	// for exactly that long, and its queue's offset with it.
	Strict bool
}

// Exponential retries n times by growing delays; then the message goes to the
// dead-letter queue. Its id, its keys and its count of attempts are kept by every retry,
// as by Levels.
func Exponential(n int, b Backoff) Policy {
	if b.Factor == 0 {
		b.Factor = defaultFactor
	}
	if b.Max == 0 {
		b.Max = defaultMax
	}
	return Policy{set: true, retries: n, grows: true, backoff: b}
}

// delay before the next delivery of a message that has failed reconsumed+1 times.
// random is in [0, 1).
func (b Backoff) delay(reconsumed int, random float64) time.Duration {
	d := b.Max
	if grown := float64(b.Base) * math.Pow(b.Factor, float64(max(reconsumed, 0))); grown < float64(b.Max) {
		d = time.Duration(grown)
	}
	d -= time.Duration(float64(d) * b.Jitter * random)
	return max(d, time.Millisecond) // timers know no less, and 0 would be none
}

// validate reports numbers that make no sense.
func (b Backoff) validate() error {
	var errs []error
	mistake := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: back-off: "+format, append([]any{ErrPolicy}, args...)...))
	}
	if b.Base < time.Millisecond {
		mistake("base %s; at least 1ms", b.Base)
	}
	if b.Max < b.Base {
		mistake("its maximum of %s is less than its base of %s", b.Max, b.Base)
	}
	if !(b.Factor >= 1) || math.IsInf(b.Factor, 0) {
		mistake("factor %v; at least 1", b.Factor)
	}
	if !(b.Jitter >= 0 && b.Jitter <= 1) {
		mistake("jitter %v; a share from 0 to 1", b.Jitter)
	}
	return errors.Join(errs...)
}

func (b Backoff) String() string {
	s := fmt.Sprintf("after %s, times %s up to %s", b.Base, number(b.Factor), b.Max)
	if b.Jitter > 0 {
		s += ", less up to " + number(100*b.Jitter) + " %"
	}
	if b.Strict {
		s += ", strictly"
	}
	return s
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }
