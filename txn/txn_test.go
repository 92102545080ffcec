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

	"github.com/rocketkit/rocketkit/codec"
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
	for _, want := range []string{"is nil", `kind of topic "orders" has no name`, "bad topic", `kind "b" has no check`, `"twice" is registered twice`} {
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
		"no producer":       {nil, message.New("orders", []byte("b")), local, "NewProducer"},
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

type order struct{ ID string }

func TestACheckGetsTheMessagesValue(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	got := make(chan string, 9)
	s := &script{}
	newProducer(t, s, producer.Logger(slog.New(slog.NewTextHandler(&log, nil))), txn.Kinds(
		txn.NewKindOf("json", "orders", func(ctx context.Context, o order) error {
			got <- message.DeliveryFrom(ctx).ID + " " + o.ID
			return txn.Abort(nil)
		}),
		txn.NewKindOf("text", "orders", func(_ context.Context, id string) error { got <- id; return nil }),
		txn.NewKindOf("as", "orders", func(_ context.Context, quoted string) error { got <- quoted; return nil }, txn.CheckAs(codec.JSON{})),
	))
	for _, tc := range []struct {
		kind, body, got string
		want            driver.TxState
	}{
		{"json", `{"ID":"o1"}`, "m1 o1", driver.TxRollback},
		{"text", `"o1"`, `"o1"`, driver.TxCommit},
		{"as", `"o1"`, "o1", driver.TxCommit},
		{"json", "no JSON", "", driver.TxUnknown},
	} {
		d := &message.Delivery{Topic: "orders", ID: "m1", Body: []byte(tc.body)}
		d.SetRawProperties(txn.PropertyKind + "\x01" + tc.kind + "\x02")
		if state := s.cfg.Check(t.Context(), d); state != tc.want {
			t.Errorf("%s %s: %v, want %v", tc.kind, tc.body, state, tc.want)
		}
		call := ""
		if len(got) > 0 {
			call = <-got
		}
		if call != tc.got {
			t.Errorf("%s %s: the check got %q, want %q", tc.kind, tc.body, call, tc.got)
		}
	}
	if want := `kind \"json\": 7 bytes as txn_test.order by codec json`; !strings.Contains(log.String(), want) {
		t.Errorf("not logged: %s in\n%s", want, &log)
	}
}

func TestAKindsTopicHasPlaceholders(t *testing.T) {
	t.Parallel()
	lookup := func(key string) (string, bool) { return "orders_eu", key == "orders.topic" }
	check := func(context.Context, order) error { return nil }
	s := &script{}
	known := txn.NewKindOf("known", "${orders.topic:orders}", check, txn.Placeholders(lookup))
	other := txn.NewKind("default", "${refunds.topic:refunds}", commit)
	p := newProducer(t, s, txn.Kinds(known, other))
	if got := strings.Join(s.cfg.CheckTopics, " "); got != "orders_eu refunds" || known.Topic() != "orders_eu" {
		t.Errorf("check topics %q, topic %q", got, known.Topic())
	}
	ran := false
	if _, err := known.Send(t.Context(), p, message.New(known.Topic(), []byte("b")), func(context.Context, message.SendResult) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("it ran: %v, %v", ran, err)
	}
	_, err := producer.New(s, "pay_group", txn.Kinds(
		txn.NewKind("a", "${x}", commit), txn.NewKind("b", "${x}", commit, txn.Placeholders(lookup)), txn.NewKind("c", "t", commit, nil, txn.CheckAs(codec.JSON{})),
		txn.NewKindOf("d", "bad topic", check, txn.CheckAs(nil)), txn.NewKindOf[string]("e", "t", nil, txn.CheckAs(codec.Raw{})), txn.NewKindOf("f", "t", commit)))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`kind "a": topic: placeholder ${x} cannot be looked up; pass the option Placeholders`, `kind "b": topic: placeholder ${x} has no value and no default`,
		`kind "c": an option is nil`, `kind "c": CheckAs is for the checks of NewKindOf`, `kind "d": invalid topic: "bad topic"`, `kind "d": CheckAs(nil)`,
		`kind "e": codec raw: type does not fit the codec`, `kind "e" has no check`, `kind "f": its check takes the message itself; use NewKind`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not mentioned: %s in\n%v", want, err)
		}
	}
}
