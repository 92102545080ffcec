package txn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/txn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a driver whose half messages end as a test says; what a broker does
// with them is tested with a broker.
type script struct {
	driver.Driver
	driver.Sender
	cfg    driver.SenderConfig
	status message.Status
	err    error
	sent   driver.Outgoing
}

func (s *script) Capabilities() driver.Capabilities { return driver.Capabilities{Transactions: true} }
func (s *script) NewID() string                     { return "0A" }
func (s *script) Close(context.Context) error       { return nil }
func (s *script) NewSender(cfg driver.SenderConfig) (driver.Sender, error) {
	s.cfg = cfg
	return s, nil
}

func (s *script) Queues(_ context.Context, topic string) ([]message.Queue, error) {
	return []message.Queue{{Topic: topic, Broker: "a"}}, nil
}

func (s *script) SendTx(ctx context.Context, _ message.Queue, m *driver.Outgoing, local func(context.Context, driver.Receipt) driver.TxState) (driver.Receipt, driver.TxState, error) {
	s.sent = driver.Outgoing{Message: m.Message, ID: m.ID, Extra: append([]driver.Property(nil), m.Extra...)}
	r := driver.Receipt{Status: s.status, TransactionID: "tx"}
	switch {
	case s.err != nil:
		return r, driver.TxUnknown, s.err
	case s.status != message.SendOK:
		return r, driver.TxRollback, nil
	}
	return r, local(ctx, r), nil
}

func newProducer(t *testing.T, s *script, opts ...producer.Option) *producer.Producer {
	t.Helper()
	p, err := producer.New(s, "pay_group", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func commit(context.Context, *message.Delivery) error { return nil }

func TestTheLocalTransactionDecides(t *testing.T) {
	t.Parallel()
	boom := errors.New("database gone")
	for name, tc := range map[string]struct {
		local     txn.Local
		want      txn.Decision
		err       error // that the sender gets
		retrySafe bool
	}{
		"nil commits":             {func(context.Context, message.SendResult) error { return nil }, txn.DecidedToCommit, nil, false},
		"an error leaves it open": {func(context.Context, message.SendResult) error { return boom }, txn.Undecided, boom, false},
		"abort rolls back":        {func(context.Context, message.SendResult) error { return txn.Abort(boom) }, txn.DecidedToRollBack, boom, true},
		"a wrapped abort too":     {func(context.Context, message.SendResult) error { return errors.Join(boom, txn.Abort(nil)) }, txn.DecidedToRollBack, boom, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{}
			kind := txn.NewKind("paid", "orders", commit)
			p := newProducer(t, s, txn.Kinds(kind))
			var half message.SendResult
			res, err := kind.Send(t.Context(), p, message.New("orders", []byte("b")), func(ctx context.Context, h message.SendResult) error {
				half = h
				return tc.local(ctx, h)
			})
			if res.Decision != tc.want || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("%v, error %v", res.Decision, err)
			}
			if err != nil && message.SafeToRetry(err) != tc.retrySafe {
				t.Errorf("SafeToRetry = %v", !tc.retrySafe)
			}
			if half != res.SendResult || res.TransactionID != "tx" || res.MessageID != "0A" {
				t.Errorf("local got %+v, the sender %+v", half, res.SendResult)
			}
			if e := s.sent.Extra; len(e) != 1 || e[0] != (driver.Property{Name: txn.PropertyKind, Value: "paid"}) {
				t.Errorf("the kind travelled as %v", e)
			}
		})
	}
}

func TestAPanickingLocalTransactionStaysOpen(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	kind := txn.NewKind("paid", "orders", commit)
	p := newProducer(t, &script{}, txn.Kinds(kind), producer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	res, err := kind.Send(t.Context(), p, message.New("orders", []byte("b")), func(context.Context, message.SendResult) error { panic("boom") })
	var le *txn.LocalError
	if res.Decision != txn.Undecided || !errors.As(err, &le) || !strings.Contains(err.Error(), "panicked") || !strings.Contains(log.String(), "boom") {
		t.Errorf("%v, error %v, logged %q", res.Decision, err, &log)
	}
}

func TestALocalTransactionThatEndsItsGoroutineHoldsNothingUp(t *testing.T) {
	t.Parallel()
	kind := txn.NewKind("paid", "orders", commit)
	p := newProducer(t, &script{}, txn.Kinds(kind))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = kind.Send(t.Context(), p, message.New("orders", []byte("b")), func(context.Context, message.SendResult) error {
			runtime.Goexit()
			return nil
		})
	}()
	<-done
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheLocalTransactionRunsOnlyBehindAStoredHalfMessage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		s        *script
		decision txn.Decision
		want     error
	}{
		"not stored":          {&script{err: message.ErrOutcomeUnknown}, txn.Undecided, message.ErrOutcomeUnknown},
		"not flushed in time": {&script{status: message.FlushDiskTimeout}, txn.DecidedToRollBack, txn.ErrNotRun},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := txn.NewKind("paid", "orders", commit)
			p := newProducer(t, tc.s, txn.Kinds(kind))
			res, err := kind.Send(t.Context(), p, message.New("orders", []byte("b")), func(context.Context, message.SendResult) error {
				t.Error("it ran")
				return nil
			})
			if res.Decision != tc.decision || !errors.Is(err, tc.want) {
				t.Errorf("%v, error %v", res.Decision, err)
			}
		})
	}
}

func TestChecksAreAskedByKind(t *testing.T) {
	t.Parallel()
	answers := func(err error) txn.Check { return func(context.Context, *message.Delivery) error { return err } }
	var log bytes.Buffer
	s := &script{}
	newProducer(t, s, txn.Kinds(
		txn.NewKind("done", "orders", answers(nil)),
		txn.NewKind("failed", "refunds", answers(txn.Abort(errors.New("no money")))),
		txn.NewKind("open", "orders", answers(errors.New("database gone"))),
		txn.NewKind("panics", "orders", func(context.Context, *message.Delivery) error { panic("boom") }),
	), producer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	for kind, want := range map[string]driver.TxState{
		"done": driver.TxCommit, "failed": driver.TxRollback, "open": driver.TxUnknown,
		"panics": driver.TxUnknown, "stranger": driver.TxUnknown, "": driver.TxUnknown,
	} {
		d := &message.Delivery{Topic: "orders", ID: kind}
		d.SetRawProperties("KEYS\x011\x02" + txn.PropertyKind + "\x01" + kind + "\x02")
		if got := s.cfg.Check(t.Context(), d); got != want {
			t.Errorf("kind %q: %v, want %v", kind, got, want)
		}
	}
	for _, want := range []string{"database gone", "boom", `kind \"stranger\" is not registered`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("not logged: %s in\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "no money") {
		t.Error("an answer was logged as a failure")
	}
	if got := strings.Join(s.cfg.CheckTopics, " "); got != "orders refunds orders orders" {
		t.Errorf("check topics %q", got)
	}
}

func TestMistakesInKindsAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := producer.New(&script{}, "pay_group", txn.Kinds(
		nil, txn.NewKind("", "orders", commit), txn.NewKind("a", "bad topic", commit), txn.NewKind("b", "orders", nil),
		txn.NewKind("twice", "orders", commit), txn.NewKind("twice", "orders", commit)))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"is nil", `kind ""`, "bad topic", `kind "b" has no check`, `"twice" is registered twice`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not mentioned: %s in\n%v", want, err)
		}
	}
	if _, err := producer.New(&script{}, "pay_group", txn.Kinds()); err == nil {
		t.Error("no kinds were accepted")
	}
}

func TestMessagesThatAreNotOfTheKindAreRefused(t *testing.T) {
	t.Parallel()
	kind := txn.NewKind("paid", "orders", commit)
	with, without := newProducer(t, &script{}, txn.Kinds(kind)), newProducer(t, &script{})
	other := newProducer(t, &script{}, txn.Kinds(txn.NewKind("refunded", "orders", commit)))
	local := func(context.Context, message.SendResult) error { t.Error("it ran"); return nil }
	for name, tc := range map[string]struct {
		p     *producer.Producer
		m     *message.Message
		local txn.Local
		want  string
	}{
		"another topic":     {with, message.New("refunds", []byte("b")), local, `"orders"`},
		"a kind of its own": {with, message.New("orders", []byte("b"), message.Property(txn.PropertyKind, "x")), local, "TXN_KIND"},
		"nil":               {with, nil, local, "nil"},
		"no local":          {with, message.New("orders", []byte("b")), nil, "nil"},
		"none registered":   {without, message.New("orders", []byte("b")), local, "txn.Kinds"},
		"not registered":    {other, message.New("orders", []byte("b")), local, "txn.Kinds"},
	} {
		if _, err := kind.Send(t.Context(), tc.p, tc.m, tc.local); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAResultTellsItsDecision(t *testing.T) {
	t.Parallel()
	for decision, want := range map[txn.Decision]string{
		txn.DecidedToCommit: "decided to commit: SendResult [not sent]", txn.DecidedToRollBack: "decided to roll back: SendResult [not sent]", txn.Undecided: "undecided: SendResult [not sent]",
	} {
		if got := fmt.Sprint(txn.Result{Decision: decision}); got != want {
			t.Errorf("it prints %q, want %q", got, want)
		}
	}
}
