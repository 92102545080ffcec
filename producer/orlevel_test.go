package producer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// A driver that cannot at all is not even asked; a broker that cannot has stored
// nothing, and its refusal is no attempt.
func TestADelayGoesByALevelWhereThereIsNoOtherWay(t *testing.T) {
	t.Parallel()
	for _, timers := range []bool{false, true} {
		for way, send := range ways {
			if way == "batch" {
				continue // takes no delayed messages
			}
			t.Run(fmt.Sprint(way, "/", timers), func(t *testing.T) {
				t.Parallel()
				s := newScript("a")
				s.caps.TimerMessages = timers
				var mu sync.Mutex
				var delays []message.Delay
				s.send = func(_ context.Context, _ message.Queue, ms []*driver.Outgoing) (driver.Receipt, error) {
					mu.Lock()
					defer mu.Unlock()
					d := ms[0].Delay
					delays = append(delays, d)
					if d.Level == 0 {
						return driver.Receipt{}, fmt.Errorf("delays by time are %w", message.ErrUnsupported)
					}
					return driver.Receipt{}, nil
				}
				p := start(t, s, producer.Retries(0), producer.RetryAsync(false))
				asked := message.Delay{After: time.Minute, OrLevel: 5}
				m := message.New("orders", []byte("x"))
				m.Delay = asked
				if _, err := send(t.Context(), p, m); err != nil {
					t.Fatal(err)
				}
				want := []message.Delay{{Level: 5}}
				if timers {
					want = []message.Delay{asked, {Level: 5}}
				}
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(delays, want) || m.Delay != asked {
					t.Errorf("sent with %v, want %v; the message has %v", delays, want, m.Delay)
				}
			})
		}
	}
}

// A topic that the driver cannot use has no queue for the level either.
func TestADelayGoesByNoLevelToATopicThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for way, send := range ways {
		if way == "batch" {
			continue // takes no delayed messages
		}
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newScript("a")
			s.queues = func(topic string) ([]message.Queue, error) {
				return nil, fmt.Errorf("topic %s is %w", topic, message.ErrUnsupported)
			}
			p := start(t, s)
			m := message.New("orders", []byte("x"))
			m.Delay = message.Delay{After: time.Minute, OrLevel: 5}
			if _, err := send(t.Context(), p, m); !errors.Is(err, message.ErrUnsupported) {
				t.Errorf("got %v", err)
			}
			if tries := s.tried(); len(tries) > 0 {
				t.Errorf("sent: %v", tries)
			}
		})
	}
}
