package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Times of the stage.
const (
	defaultDedupTTL = 24 * time.Hour
	// claimGrace is how much longer than its handler's time a claim lasts.
	claimGrace = time.Minute
	// unclaimTime bounds what is noted after the handler, whose own time may be over.
	unclaimTime = 5 * time.Second
)

// deduplication is what a handler passes over messages by.
type deduplication struct {
	store dedup.Store
	key   func(*message.Delivery) string
	ttl   time.Duration
	open  bool
}

// DedupOption sets something of Deduplicate.
type DedupOption func(*deduplication)

// DedupBy says what tells messages of one topic apart: dedup.ByID by default, dedup.ByKey
// or a function of yours, which must be quick. When it returns "" or panics, the message
// fails as if its handler did.
func DedupBy(key func(*message.Delivery) string) DedupOption {
	return func(d *deduplication) { d.key = key }
}

// DedupTTL is how long a message is remembered after it was handled; 24 h by default.
func DedupTTL(ttl time.Duration) DedupOption { return func(d *deduplication) { d.ttl = ttl } }

// DedupFailOpen handles messages also while the store cannot be asked, perhaps once more.
// By default they come again later, by the broker's levels and as often as it takes: the
// handler did not fail, and nothing is dead-lettered.
func DedupFailOpen() DedupOption { return func(d *deduplication) { d.open = true } }

// Deduplicate passes over messages that the group has handled: they are acknowledged
// without the handler. Package dedup says what that guarantees.
//
// The message is claimed in the store before it is decoded, for all immediate retries,
// and for a minute longer than the handler's Timeout. When the handler has returned nil
// or retry.Skip, it is remembered; after everything else the claim is given back. One
// that another member has claimed comes again later, with a higher count of
// reconsumptions, and is not dead-lettered for it. Lower the Timeout where a member that
// crashed must not hold up its messages for so long. The claim is not renewed, so that a
// handler that hangs does not hold up its message without end: one that goes on for that
// minute after its ctx has ended has lost it, and a copy is handled beside it. In a batch each message goes its own
// way; a batch that is left without any is not handled. A store may serve several groups.
//
// Broadcast groups have none: each member is to handle each message.
func Deduplicate(store dedup.Store, opts ...DedupOption) Option {
	d := deduplication{store: store, key: dedup.ByID, ttl: defaultDedupTTL}
	for _, o := range opts {
		if o != nil {
			o(&d)
		}
	}
	return commonOption(func(o *common) { o.dedup = chosen(d) })
}

// checkDedup finds mistakes in the options above.
func (p *plan) checkDedup(label string, c *common) {
	if !c.dedup.set {
		return
	}
	d := c.dedup.value
	if d.store == nil {
		p.mistake("%sDeduplicate(nil): name a store, such as dedup.NewMemory()", label)
	}
	if d.key == nil {
		p.mistake("%sDedupBy(nil): name a function, or leave it out for dedup.ByID", label)
	}
	if d.ttl <= 0 {
		p.mistake("%sDedupTTL(%s): must be positive", label, d.ttl)
	}
	if p.opts.broadcast {
		p.mistake("%sDeduplicate in a broadcast group is %w: each member is to handle each message; remove one of them", label, message.ErrUnsupported)
	}
}

// maxDedupKey is what every store takes, in bytes, of UTF-8 without zero bytes: what
// PostgreSQL refuses would come again without end.
const maxDedupKey = 255

var errNoDedupKey = errors.New(`DedupBy: the function returned ""; return what tells messages apart, such as their ID`)

// id names a message in the store: groups and topics apart. A panic is an error.
func (d *deduplication) id(group string, m *message.Delivery) (id string, err error) {
	defer caught(&err)
	key := d.key(m)
	if key == "" {
		return "", errNoDedupKey
	}
	id = group + "/" + m.Topic + "/" + key
	if len(id) > maxDedupKey || !utf8.ValidString(id) || strings.Contains(id, "\x00") {
		sum := sha256.Sum256([]byte(id))
		id = group + "/#" + hex.EncodeToString(sum[:])
	}
	return id, nil
}

var errElsewhere = errors.New("the message is claimed by somebody else")

// claim asks the store for a message before its handler runs. The verdict counts when it
// is not mine; err is why it was not handled.
func (h *handler) claim(ctx context.Context, c *call, d *message.Delivery) (claim dedup.Claim, v driver.Verdict, mine bool, err error) {
	id, err := h.dedup.id(h.group, d)
	if err != nil { // the message's failure, not the store's: without end it would come again
		v, _ = h.judge(c, d, math.MaxInt, err)
		return claim, v, false, err
	}
	claim, err = h.ask(ctx, id)
	switch {
	case err != nil && h.dedup.open:
		h.log.LogAttrs(ctx, slog.LevelWarn, "de-duplication store failed", append(identity(d),
			slog.Any("error", err), slog.String("next", "handled without a claim, perhaps once more"))...)
		return dedup.Claim{State: dedup.Claimed}, v, true, nil
	case err != nil:
		h.log.LogAttrs(ctx, slog.LevelWarn, "de-duplication store failed", append(identity(d),
			slog.Any("error", err), slog.String("next", "delivered again later, without end"))...)
		return claim, h.comeAgain(d, err), false, err
	case claim.State == dedup.Done:
		h.log.LogAttrs(ctx, slog.LevelInfo, "message was handled before", append(identity(d), slog.String("next", "acknowledged"))...)
		return claim, driver.Verdict{Action: driver.ActionAck}, false, nil
	case claim.State == dedup.Busy:
		c.elsewhere = true
		h.log.LogAttrs(ctx, slog.LevelInfo, "message is claimed by somebody else", append(identity(d), slog.String("next", "delivered again later"))...)
		return claim, h.comeAgain(d, errElsewhere), false, errElsewhere
	}
	return claim, v, true, nil
}

// ask makes an error of a panic, too.
func (h *handler) ask(ctx context.Context, id string) (claim dedup.Claim, err error) {
	defer caught(&err)
	claim, err = h.dedup.store.Claim(ctx, id, h.timeout+claimGrace)
	claim.Key = id
	return claim, err
}

// comeAgain has the message delivered again, however often it was.
func (h *handler) comeAgain(d *message.Delivery, err error) driver.Verdict {
	v := driver.Verdict{Action: driver.ActionRetry, MaxRetries: math.MaxInt32}
	if h.dlq {
		v.Level = decideDeadLetter(d, err).Level
	}
	return v
}

// unclaim tells the store what became of a message that was claimed. What it cannot be
// told is logged and changes nothing: the handler has run.
func (h *handler) unclaim(ctx context.Context, d *message.Delivery, claim dedup.Claim, v driver.Verdict) {
	if claim.State != dedup.Claimed || claim.Key == "" {
		return // not handled, or without a claim
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unclaimTime)
	defer cancel()
	next := "claimed for " + (h.timeout + claimGrace).String() + " at most"
	tell := h.dedup.store.Release
	if v.Action == driver.ActionAck {
		next += "; if it comes again after that, it is handled again"
		tell = func(ctx context.Context, c dedup.Claim) error { return h.dedup.store.Complete(ctx, c, h.dedup.ttl) }
	}
	if err := tolerant(func() error { return tell(ctx, claim) }); err != nil {
		h.log.LogAttrs(ctx, slog.LevelWarn, "de-duplication store failed after the handler", append(identity(d),
			slog.Any("error", err), slog.String("next", next))...)
	}
}

// tolerant makes an error of a panic.
func tolerant(f func() error) (err error) {
	defer caught(&err)
	return f()
}

// claim claims the messages of a batch and returns those that the handler is to have.
func (b *batchCall) claim() []int {
	pending := make([]int, 0, len(b.tasks))
	if b.h.dedup.store != nil {
		b.claims, b.elsewhere = make([]dedup.Claim, len(b.tasks)), make([]bool, len(b.tasks))
	}
	for i, t := range b.tasks {
		if b.claims != nil {
			b.call.elsewhere = false
			claim, v, mine, err := b.h.claim(b.ctx, &b.call, t.d)
			b.claims[i], b.elsewhere[i] = claim, b.call.elsewhere
			if !mine {
				b.verdicts[i], b.decided[i] = v, true
				if err != nil {
					b.fail(i, err)
				}
				continue
			}
		}
		pending = append(pending, i)
	}
	return pending
}

// unclaim tells the store what became of them.
func (b *batchCall) unclaim() {
	for i, c := range b.claims {
		b.h.unclaim(b.ctx, b.tasks[i].d, c, b.verdicts[i])
	}
}
