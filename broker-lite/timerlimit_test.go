package brokerlite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// A timer message may be as far ahead as timerMaxDelaySec says, and no millisecond
// more, whichever of the three properties says so (HookUtils.transformTimerMessage).
func TestADelayBeyondTimerMaxDelaySecIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.createTopic("orders", 1)
		in := func(d time.Duration) string { return itoa(time.Now().Add(d).UnixMilli()) }
		for _, test := range []struct {
			props []string
			ok    bool
		}{
			{[]string{"TIMER_DELAY_SEC", "60"}, true},
			{[]string{"TIMER_DELAY_SEC", "61"}, false},
			{[]string{"TIMER_DELAY_MS", "60000"}, true},
			{[]string{"TIMER_DELAY_MS", "60001"}, false},
			{[]string{"TIMER_DELIVER_MS", in(time.Minute)}, true},
			{[]string{"TIMER_DELIVER_MS", in(time.Minute + time.Millisecond)}, false},
			{[]string{"TIMER_DELAY_SEC", "1", "TIMER_DELAY_MS", "60001"}, true},                              // seconds come first
			{[]string{"TIMER_DELAY_MS", "1", "TIMER_DELIVER_MS", in(time.Hour)}, true},                       // and a delay before a moment
			{[]string{"TIMER_DELAY_SEC", "61", "TIMER_DELAY_MS", "1", "TIMER_DELIVER_MS", in(0)}, false},     //
			{[]string{"TRAN_MSG", "true", "PGROUP", "producers", "TIMER_DELAY_MS", fmt.Sprint(60001)}, true}, // its delay begins with the commit
		} {
			h := sending("orders", test.props...)
			resp := c.call(h.Code, h, []byte("x"))
			switch {
			case test.ok && resp.Code != protocol.Success:
				t.Errorf("%q: %s: %s", test.props, protocol.ResponseName(resp.Code), resp.Remark)
			case !test.ok && (resp.Code != protocol.MessageIllegal || !strings.Contains(resp.Remark, "max delay 60000ms")):
				t.Errorf("%q: %s: %s\nwant MESSAGE_ILLEGAL with the limit", test.props, protocol.ResponseName(resp.Code), resp.Remark)
			}
		}
		time.Sleep(2 * time.Minute)
		if n := len(c.messages("orders", 0)); n != 5 {
			t.Errorf("%d messages were delivered, want the 5 that were taken and are no half message", n)
		}
	}, Conf("timerMaxDelaySec=60"))
}
