package trace_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// A sender that panics costs records, not the program.
func TestASenderThatPanicsLosesRecordsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		s := &sentMessages{fail: func(context.Context) error {
			if broken.Load() {
				panic("boom")
			}
			return nil
		}}
		var log bytes.Buffer
		tr := trace.NewMessageTracer(trace.MessageOptions{Sender: s, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		tr.Published(sent("lost"))
		<-time.After(2500 * time.Millisecond)
		broken.Store(false)
		tr.Published(sent("kept"))
		drain(t, tr)
		if r := s.records(); len(r) != 1 || r[0].MsgID != "kept" {
			t.Errorf("%+v", r)
		}
		if !strings.Contains(log.String(), "panicked: boom") {
			t.Error(log.String())
		}
	})
}

// A message whose foreign producer chose a huge id costs the records beside it nothing.
func TestAHugeIDDoesNotLoseTheRecordsBesideIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sentMessages{}
		tr := trace.NewMessageTracer(trace.MessageOptions{Sender: s})
		tr.Published(sent("kept"))
		tr.StartRun("pay", &message.Delivery{ID: strings.Repeat("i", message.MaxPropertiesLength), Topic: "orders"})
		drain(t, tr)
		if r := s.records(); len(r) != 2 || r[0].MsgID != "kept" {
			t.Errorf("%d records in %d attempts", len(r), s.attempts())
		}
	})
}
