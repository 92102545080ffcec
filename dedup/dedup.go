package dedup

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Store remembers what is being handled and what has been. Its methods may be called by
// several goroutines, and by several processes for one store.
type Store interface {
	// Claim takes key for the caller until lease is over, unless somebody else has it or
	// it is done. Of several that ask at once one gets it.
	Claim(ctx context.Context, key string, lease time.Duration) (Claim, error)
	// Complete notes that what was claimed is done, and remembers it for ttl: also when the
	// claim's time was over, and somebody else has it meanwhile.
	Complete(ctx context.Context, c Claim, ttl time.Duration) error
	// Release gives back a claim, so that it can be taken at once. It does nothing when the
	// caller no longer has it.
	Release(ctx context.Context, c Claim) error
}

// Claim is what a Store says of a key.
type Claim struct {
	Key   string
	State State
	// Token tells this claim from a later one of the same key; "" unless it is Claimed.
	Token string
}

// State of a key.
type State int

// States. The zero value lets nobody handle anything.
const (
	Busy    State = iota // somebody has claimed it, and has not said how it ended
	Claimed              // the caller has it now
	Done                 // it was handled
)

func (s State) String() string {
	switch s {
	case Claimed:
		return "claimed"
	case Done:
		return "done"
	case Busy:
	}
	return "busy"
}

// ErrFull: a bounded store has room for no further claim.
var ErrFull = errors.New("the store is full of claims")

// IDProperty is a property by which a program that may send one message twice names it,
// as package outbox does: what RocketMQ calls a message's id is new with each send.
const IDProperty = "DEDUP_ID"

// ByID tells messages apart by their property IDProperty, and where there is none by the
// id that the producer gave: the same for every delivery, new with every send. It is the
// default.
func ByID(d *message.Delivery) string {
	if id := d.Property(IDProperty); id != "" {
		return id
	}
	return d.ID
}

// ByKey tells messages apart by their business keys, and those without by ByID: for
// topics in which each key stands for one thing that is to be handled once.
func ByKey(d *message.Delivery) string {
	if keys := d.Keys(); len(keys) > 0 {
		return strings.Join(keys, " ")
	}
	return ByID(d)
}
