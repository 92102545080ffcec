package consumer_test

import (
	"errors"
	"testing"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// A member that cannot have its queues is not hidden by members with other subscriptions,
// which make nobody not ready.
func TestStateTellsTheWorstTroubleOfItsSubscriptions(t *testing.T) {
	t.Parallel()
	differ := error(&message.SubscriptionsDifferError{Group: "pay"})
	for name, tc := range map[string]struct{ own, dead, want error }{
		"none":                {},
		"of its own":          {own: errDown, want: errDown},
		"of dead letters":     {dead: errDown, want: errDown},
		"differ":              {own: differ, want: differ},
		"and then differ":     {own: errDown, dead: differ, want: errDown},
		"differ at first":     {own: differ, dead: errDown, want: errDown},
		"the first of errors": {own: errDown, dead: errPanic, want: errDown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := consumer.NewMux("pay")
			consumer.HandleRaw(mux, "orders", onRaw)
			consumer.HandleDLQ(mux, onRaw)
			drv := newScripted()
			c := start(t, drv, mux)
			drv.sub(t, "pay").trouble, drv.sub(t, "pay_dlq").trouble = tc.own, tc.dead
			if got := c.State().Trouble; !errors.Is(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
