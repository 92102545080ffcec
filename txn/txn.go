package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// PropertyKind is the property by which a half message names its kind.
const PropertyKind = "TXN_KIND"

// Check finds out how the local transaction behind a half message ended: nil
// commits it, Abort rolls it back, and any other error says that it is not known
// yet, so that the broker asks again (every 30 s and 15 times in all by default,
// transactionCheckInterval and transactionCheckMax; then the message is put
// aside). It may be asked in another process than the one that sent, by several
// goroutines at once, and more than once.
type Check func(ctx context.Context, d *message.Delivery) error

// Local runs the local transaction once the half message is stored: nil commits
// the message, Abort rolls it back, any other error or a panic leaves it open.
// ctx is the sender's; the send's time-out does not apply to it.
type Local func(ctx context.Context, half message.SendResult) error

// Kinds registers the kinds that a producer group sends. Every process of the
// group should register all of them: the broker may ask any. Its brokers learn
// of the group before it sends, so that a restarted process is asked about what
// it left behind. A half message of a kind that is not registered stays open.
func Kinds(kinds ...*Kind) producer.Option {
	return producer.Transactions(registered(slices.Clone(kinds)))
}

// registered is the kinds of one producer.
type registered []*Kind

// Validate implements producer.Checker.
func (r registered) Validate() error {
	var errs []error
	if len(r) == 0 {
		errs = append(errs, errors.New("no transaction kinds; name one, or leave txn.Kinds out"))
	}
	for i, k := range r {
		if err := k.validate(); err != nil {
			errs = append(errs, err)
		} else if r[:i].find(k.name) != nil {
			errs = append(errs, fmt.Errorf("transaction kind %q is registered twice; brokers' questions are told apart by it: give one another name", k.name))
		}
	}
	return errors.Join(errs...)
}

// Topics implements producer.Checker.
func (r registered) Topics() []string {
	topics := make([]string, 0, len(r))
	for _, k := range r {
		if k != nil {
			topics = append(topics, k.topic)
		}
	}
	return topics
}

// Check implements producer.Checker.
func (r registered) Check(ctx context.Context, d *message.Delivery) (driver.TxState, error) {
	name := d.Property(PropertyKind)
	k := r.find(name)
	if k == nil {
		return driver.TxUnknown, fmt.Errorf("transaction kind %q is not registered here; the message stays open until a process answers that knows it", name)
	}
	err := k.check(ctx, d)
	state := stateOf(err)
	if state == driver.TxRollback {
		err = nil // it was asked, and has said so
	}
	return state, err
}

// find returns the kind of a name, nil when there is none.
func (r registered) find(name string) *Kind {
	for _, k := range r {
		if k != nil && k.name == name {
			return k
		}
	}
	return nil
}

// Send stores m as a half message, runs local and tells the broker what was
// decided. p must have been made with Kinds(k, …).
//
// The error is the half message's, in which case local has not run; or a
// *LocalError when local did not return nil. Without an error the decision is to
// commit: the broker may not have heard yet, and will ask if it has not.
func (k *Kind) Send(ctx context.Context, p *producer.Producer, m *message.Message, local Local) (Result, error) {
	switch {
	case p == nil:
		return Result{}, fmt.Errorf("transaction kind %q: the producer is nil; make it with NewProducer and txn.Kinds", k.name)
	case m != nil && m.Topic != k.topic:
		return Result{}, fmt.Errorf("%w: topic %q: messages of transaction kind %q go to topic %q, whose brokers know whom to ask", message.ErrInvalidMessage, m.Topic, k.name, k.topic)
	case m != nil && m.Properties[PropertyKind] != "":
		return Result{}, fmt.Errorf("%w: topic %q: property %s is set by package txn", message.ErrInvalidMessage, m.Topic, PropertyKind)
	case local == nil:
		return Result{}, fmt.Errorf("transaction kind %q: the local transaction is nil; pass a function, or send the message with Producer.Send", k.name)
	}
	if r, ok := p.Checker().(registered); !ok || r.find(k.name) != k {
		return Result{}, fmt.Errorf("transaction kind %q is %w by producer %s, whose brokers would ask about it in vain; name it in txn.Kinds", k.name, message.ErrUnsupported, p.Group())
	}
	ran := false
	var localErr error
	r, state, err := p.SendHalf(ctx, m, []driver.Property{{Name: PropertyKind, Value: k.name}},
		func(ctx context.Context, half message.SendResult) driver.TxState {
			ran, localErr = true, errPanicked // unless it returns
			localErr = local(ctx, half)
			return stateOf(localErr)
		})
	res := Result{SendResult: r, Decision: Decision(state)}
	switch {
	case err != nil:
		return res, err
	case !ran:
		return res, fmt.Errorf("%w: the half message got status %s, so RocketMQ's clients roll it back", ErrNotRun, r.Status)
	case localErr != nil:
		return res, &LocalError{Kind: k.name, Decision: res.Decision, Err: localErr}
	}
	return res, nil
}

// stateOf is what an error of a local transaction or a check decides.
func stateOf(err error) driver.TxState {
	var abort *abortError
	switch {
	case err == nil:
		return driver.TxCommit
	case errors.As(err, &abort):
		return driver.TxRollback
	}
	return driver.TxUnknown
}
