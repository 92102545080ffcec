package producer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// A stop can come between the grant of a place and the one who waited for it.
func TestAPlaceGrantedAsTheProducerStopsIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &flow{limit: 1, limitBytes: 100, maxWorkers: 1}
		first, second := &op{size: 10}, &op{size: 10}
		if err := f.acquire(context.Background(), first, time.Second, false); err != nil {
			t.Fatal(err)
		}
		var err error
		go func() { err = f.acquire(context.Background(), second, time.Second, false) }()
		synctest.Wait()
		f.mu.Lock()
		f.unplace(first) // grants it to the second
		f.state = flowStopped
		f.mu.Unlock()
		synctest.Wait()
		if !errors.Is(err, message.ErrClosed) || f.places != 0 || f.bytes != 0 || second.placed {
			t.Errorf("%v; %d places and %d bytes are taken", err, f.places, f.bytes)
		}
		if err := f.acquire(context.Background(), first, time.Second, false); !errors.Is(err, message.ErrClosed) {
			t.Errorf("after the stop: %v", err)
		}
	})
}
