package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/consumer"
)

func TestNilsAreMistakesAndNoPanics(t *testing.T) {
	t.Parallel()
	handle := func(context.Context, string) error { return nil }
	for name, tt := range map[string]struct {
		mux  func() *consumer.Mux
		want string
	}{
		"a nil mux": {func() *consumer.Mux { return nil }, "the mux is nil"},
		"a nil listener": {func() *consumer.Mux {
			m := consumer.NewMux("billing")
			m.Add(consumer.Listener[string]{Topic: "orders", Handle: handle}, nil)
			return m
		}, "nil listener"},
		"a nil pointer to a listener": {func() *consumer.Mux {
			m := consumer.NewMux("billing")
			m.Add(&consumer.Listener[string]{Topic: "orders", Handle: handle}, (*consumer.Listener[string])(nil))
			return m
		}, "nil listener"},
	} {
		if _, err := consumer.New(newScripted(), tt.mux()); !errors.Is(err, consumer.ErrRegistration) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// A sum of times that overflows would end every request before it is made.
func TestPullWaitHasBounds(t *testing.T) {
	t.Parallel()
	for d, fine := range map[time.Duration]bool{-1: false, 0: true, 12 * time.Hour: true, 12*time.Hour + 1: false, 1<<63 - 1: false} {
		_, err := consumer.NewSimpleConsumer(&popping{scripted: newScripted()}, "billing", []consumer.Subscription{{Topic: "orders"}}, consumer.PullWait(d))
		if (err == nil) != fine {
			t.Errorf("%s: %v", d, err)
		}
	}
}
