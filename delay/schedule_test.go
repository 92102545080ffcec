package delay_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
)

// post takes what is sent and recalled.
type post struct {
	sent     []*message.Message
	recalled []string
	handle   string
	err      error
}

func (p *post) Send(_ context.Context, m *message.Message) (message.SendResult, error) {
	p.sent = append(p.sent, m)
	return message.SendResult{MessageID: "ID", RecallHandle: p.handle}, p.err
}

func (p *post) Recall(_ context.Context, topic, handle string) error {
	p.recalled = append(p.recalled, topic+" "+handle)
	return p.err
}

func TestAHandleOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	p := &post{handle: "handle"}
	m := message.New("orders", []byte("b"))
	h, err := delay.Schedule(t.Context(), p, m, delay.After(time.Hour))
	if err != nil || len(p.sent) != 1 || p.sent[0].Delay.After != time.Hour || !m.Delay.IsZero() {
		t.Fatalf("%+v, sent %+v, the message is %+v", err, p.sent, m)
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var again delay.Handle
	if err := json.Unmarshal(text, &again); err != nil || again != h {
		t.Fatalf("%s came back as %+v, %v", text, again, err)
	}
	if err := delay.Cancel(t.Context(), p, again); err != nil || len(p.recalled) != 1 || p.recalled[0] != "orders handle" {
		t.Errorf("%v, recalled %q", err, p.recalled)
	}
}

func TestWhatCannotBeScheduledIsNotSent(t *testing.T) {
	t.Parallel()
	p := &post{}
	m := message.New("orders", []byte("b"))
	for what, f := range map[string]func() error{
		"no message":    func() error { _, err := delay.Schedule(t.Context(), p, nil, delay.Level(1)); return err },
		"no moment":     func() error { _, err := delay.Schedule(t.Context(), p, m, nil); return err },
		"not postponed": func() error { _, err := delay.Schedule(t.Context(), p, m, message.Tag("t")); return err },
	} {
		if err := f(); !errors.Is(err, message.ErrInvalidMessage) || len(p.sent) != 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
	p.err = message.ErrClosed
	if h, err := delay.Schedule(t.Context(), p, m, delay.Level(1)); !errors.Is(err, message.ErrClosed) || h != (delay.Handle{}) {
		t.Errorf("a send that fails: %+v, %v", h, err)
	}
	if err := delay.Cancel(t.Context(), p, delay.Handle{Topic: "orders", MessageID: "ID"}); !errors.Is(err, message.ErrUnsupported) || len(p.recalled) != 0 {
		t.Errorf("without a handle: %v", err)
	}
}
