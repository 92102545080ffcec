package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
	"github.com/rocketkit/rocketkit/trace"
)

// traceRecords is a trace.MessageSender that keeps the records.
type traceRecords struct {
	mu  sync.Mutex // guards the following
	all []protocol.TraceRecord
}

func (r *traceRecords) Send(_ context.Context, m *message.Message) (message.SendResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, protocol.ParseTraceRecords(string(m.Body))...)
	return message.SendResult{}, nil
}

// Codes are ConsumeReturnType's: 0 SUCCESS, 1 TIME_OUT, 2 EXCEPTION, 3 RETURNNULL, 4 FAILED.
func TestTheMessageTraceSaysHowEachRunEnded(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"nil":      "true 0",
		"skip":     "true 0",
		"later":    "true 0", // the second time, at once
		"error":    "false 4",
		"dead":     "false 4",
		"late":     "true 1",
		"too late": "false 1",
		"panic":    "false 2",
		"exit":     "false 3",
	} {
		for _, batch := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, batch %t", body, batch), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					tries := 0
					handle := func() error {
						tries++
						switch body {
						case "skip":
							return retry.Skip(errDown)
						case "later":
							if tries == 1 {
								return errDown
							}
						case "error":
							return errDown
						case "dead":
							return retry.Permanent(errDown)
						case "late", "too late":
							<-time.After(time.Minute)
							if body == "too late" {
								return errDown
							}
						case "panic":
							panic("boom")
						case "exit":
							runtime.Goexit()
						}
						return nil
					}
					var to traceRecords
					tracer := trace.NewMessageTracer(trace.MessageOptions{Sender: &to})
					mux := consumer.NewMux("pay", consumer.MessageTrace(tracer), consumer.Timeout(time.Minute), consumer.Retry(retry.Levels(16).Immediately(1)))
					if batch {
						consumer.HandleBatch(mux, "orders", func(context.Context, *texts) error { return handle() })
					} else {
						consumer.Handle(mux, "orders", func(context.Context, string) error { return handle() })
					}
					drv := newScripted()
					start(t, drv, mux)
					q := drv.sub(t, "pay").assign()
					q.deliver(msg("m1", "orders", "", body))
					q.await(1)
					if err := tracer.Drain(t.Context()); err != nil {
						t.Fatal(err)
					}
					var got []string
					for _, r := range to.all {
						got = append(got, fmt.Sprintf("%s %s %s %t %d", r.Type, r.Group, r.MsgID, r.Success, r.ContextCode))
					}
					if diff := cmp.Diff([]string{"SubBefore pay m1 false 0", "SubAfter pay m1 " + want}, got); diff != "" {
						t.Errorf("(-want +got)\n%s", diff)
					}
					if after := to.all[1]; strings.Contains(body, "late") && body != "later" && after.Cost != time.Minute.Milliseconds() {
						t.Errorf("%+v", after)
					}
				})
			})
		}
	}
}
