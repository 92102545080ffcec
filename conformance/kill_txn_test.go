package conformance_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/txn"
)

// killedTxns are the transactions of all rounds of a killed server. A message's body
// begins with its outcome, so that it can be told when it is asked for.
type killedTxns struct {
	kind  *txn.Kind
	count atomic.Int64
	asked atomic.Int64

	mu    sync.Mutex        // guards the following
	halfs map[string]string // bodies of half messages that are stored, by id
	seen  map[string]int    // deliveries, by id
}

const (
	killedTxnTopic = "killed_txn"
	rollBack       = "roll back"
)

func newKilledTxns() *killedTxns {
	k := &killedTxns{halfs: map[string]string{}, seen: map[string]int{}}
	k.kind = txn.NewKind("killed", killedTxnTopic, func(_ context.Context, d *message.Delivery) error {
		k.asked.Add(1)
		return outcomeOf(string(d.Body))
	})
	return k
}

func outcomeOf(body string) error {
	if strings.HasPrefix(body, rollBack) {
		return txn.Abort(nil)
	}
	return nil
}

// producer makes a producer that can be asked for outcomes.
func (k *killedTxns) producer(s *standalone, c *rocketkit.Client) *producer.Producer {
	s.Helper()
	p, err := c.NewProducer("txn_killers", txn.Kinds(k.kind), producer.SendTimeout(2*time.Second))
	if err != nil {
		s.Fatal(err)
	}
	return p
}

// load sends transactions until ctx ends: every third is left open, to be asked for.
func (k *killedTxns) load(ctx context.Context, p *producer.Producer) {
	for ctx.Err() == nil {
		n := k.count.Add(1)
		body := []string{"commit ", rollBack + " "}[n%2] + strconv.FormatInt(n, 10)
		_, err := k.kind.Send(ctx, p, message.New(killedTxnTopic, []byte(body)), func(_ context.Context, half message.SendResult) error {
			k.mu.Lock()
			k.halfs[half.MessageID] = body
			k.mu.Unlock()
			if n%3 == 0 {
				return errBoom
			}
			return outcomeOf(body)
		})
		var open *txn.LocalError
		if err != nil && !errors.As(err, &open) {
			return // the server is dead
		}
	}
}

// read notes what the group gets.
func (k *killedTxns) read(mux *consumer.Mux) {
	consumer.HandleRaw(mux, killedTxnTopic, func(_ context.Context, d *message.Delivery) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.seen[d.ID]++
		return nil
	})
}

// allEnded reports whether all that is to be delivered has been.
func (k *killedTxns) allEnded() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, body := range k.halfs {
		if k.seen[id] == 0 && outcomeOf(body) == nil {
			return false
		}
	}
	return true
}

// check holds what is stored against the outcomes.
func (k *killedTxns) check(s *standalone, stored map[string]int) {
	s.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, n := range stored {
		if body, ok := k.halfs[id]; ok && outcomeOf(body) != nil {
			s.Errorf("%q was delivered", body)
		}
		if n > 1 {
			s.Errorf("%q was delivered %d times", k.halfs[id], n)
		}
	}
}
