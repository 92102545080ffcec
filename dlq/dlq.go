package dlq

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/message"
)

// Client is what this package needs of a *rocketkit.Client.
type Client interface {
	Admin() (*admin.Client, error)
}

// Count says how many dead letters a group has.
type Count struct {
	Group string
	// Stored is how many the brokers keep, Left how many of them no Redrive has
	// passed.
	Stored, Left int64
	// Last is when the last one was stored.
	Last time.Time
}

// List returns the groups that have dead letters, sorted by name.
func List(ctx context.Context, client Client) ([]Count, error) {
	a, err := client.Admin()
	if err != nil {
		return nil, err
	}
	topics, err := a.Topics(ctx)
	if err != nil {
		return nil, err
	}
	var counts []Count
	for _, topic := range topics {
		group, ok := strings.CutPrefix(topic, message.DLQPrefix)
		if !ok {
			continue
		}
		state, err := a.DescribeTopic(ctx, topic)
		if err != nil {
			return nil, fmt.Errorf("count the dead letters of group %s: %w", group, err)
		}
		n := Count{Group: group, Stored: state.Messages()}
		if n.Stored == 0 {
			continue
		}
		for _, q := range state.Queues {
			at, _, err := a.Offset(ctx, Position(group), q.Queue)
			if err != nil {
				return nil, fmt.Errorf("count the dead letters of group %s: %w", group, err)
			}
			n.Left += max(0, q.Max-max(at, q.Min))
			if q.LastStored.After(n.Last) {
				n.Last = q.LastStored
			}
		}
		counts = append(counts, n)
	}
	return counts, nil
}

// Reason is why a message is dead, as far as the message shows it.
type Reason int

// Reasons.
const (
	// Unknown: nothing is known of the group's maximum.
	Unknown Reason = iota
	// RetriesExhausted: it was tried as often as the broker's group allows.
	RetriesExhausted
	// GivenUp: before that, because the consumer said so: a permanent error, a body
	// that cannot be decoded, no handler, or a maximum of the consumer's own.
	GivenUp
)

func (r Reason) String() string {
	switch r {
	case RetriesExhausted:
		return "retries exhausted"
	case GivenUp:
		return "given up by the consumer"
	}
	return "unknown"
}

// Letter is a dead letter. Of its Delivery, Topic and Queue are those of the dead
// letters, ReconsumeTimes how often the group has failed, and StoreTimestamp when
// it died.
type Letter struct {
	*message.Delivery
	Reason Reason
}

// String is the Delivery's and the Reason.
func (l *Letter) String() string { return fmt.Sprintf("%s, %s", l.Delivery, l.Reason) }

// Inspect yields the dead letters of a group, queue by queue, oldest first, and
// changes nothing. A group without any yields none. It ends after an error.
func Inspect(ctx context.Context, client Client, group string) iter.Seq2[*Letter, error] {
	return func(yield func(*Letter, error) bool) {
		r, err := open(ctx, client, group)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, q := range r.queues {
			for at := q.Min; at < q.Max; {
				letters, next, err := r.read(ctx, q, at)
				if err != nil {
					yield(nil, err)
					return
				}
				for _, l := range letters {
					if !yield(l, nil) {
						return
					}
				}
				at = next
			}
		}
	}
}

// reader reads the dead letters of a group that there are when it is opened.
type reader struct {
	a       *admin.Client
	group   string
	queues  []admin.QueueState
	retries int // the group's maximum; -1: not known
}

func open(ctx context.Context, client Client, group string) (*reader, error) {
	if err := message.CheckGroup(group); err != nil {
		return nil, err
	}
	if in, ok := client.(interface{ Namespace() string }); ok {
		group = message.WithNamespace(in.Namespace(), group)
	}
	a, err := client.Admin()
	if err != nil {
		return nil, err
	}
	r := &reader{a: a, group: group, retries: -1}
	state, err := a.DescribeTopic(ctx, message.DLQTopic(group))
	if errors.Is(err, message.ErrNoRoute) {
		return r, nil // nothing has died
	}
	if err != nil {
		return nil, fmt.Errorf("dead letters of group %s: %w", group, err)
	}
	r.queues = state.Queues
	for _, b := range state.Brokers {
		groups, err := a.Groups(ctx, admin.Target{Cluster: b.Cluster, Broker: b.Name})
		if err != nil {
			return nil, fmt.Errorf("dead letters of group %s: %w", group, err)
		}
		for _, g := range groups {
			if g.Name == group {
				r.retries = g.MaxRetries
			}
		}
	}
	return r, nil
}

// pageSize is how many letters to read at once.
const pageSize = 32

// read returns the letters from an offset on, and where to go on.
func (r *reader) read(ctx context.Context, q admin.QueueState, at int64) ([]*Letter, int64, error) {
	page, err := r.a.MessagesAt(ctx, q.Queue, at, pageSize)
	if err != nil {
		return nil, 0, fmt.Errorf("dead letters of group %s: %w", r.group, err)
	}
	var letters []*Letter
	for _, d := range page.Messages {
		if d.QueueOffset >= q.Max {
			return letters, q.Max, nil
		}
		l := &Letter{Delivery: d}
		switch {
		case r.retries < 0:
		case d.ReconsumeTimes > 0 && d.ReconsumeTimes >= r.retries:
			l.Reason = RetriesExhausted
		default:
			l.Reason = GivenUp
		}
		letters = append(letters, l)
	}
	if page.Next <= at { // the end, though it was expected later
		return letters, q.Max, nil
	}
	return letters, page.Next, nil
}
