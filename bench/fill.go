package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// rowFill is the job that fills the topic of the row consume; it measures
// nothing.
const rowFill = "fill"

// fill sends n messages to the topic that is consumed, and makes sure that they
// are there.
func fill(ctx context.Context, nameServer string, size int, n int64) error {
	return fillTopic(ctx, nameServer, topicFilled, size, n)
}

// fillTopic sends n messages to a topic.
func fillTopic(ctx context.Context, nameServer, topic string, size int, n int64) error {
	c, err := newNative(ctx, nameServer)
	if err != nil {
		return err
	}
	body := []byte(strings.Repeat("x", size))
	var left atomic.Int64
	left.Store(n)
	var wg sync.WaitGroup
	errs := make(chan error, batchCallers)
	for range batchCallers {
		wg.Go(func() {
			for {
				batch := min(batchSize, left.Add(-batchSize)+batchSize)
				if batch <= 0 {
					return
				}
				if err := c.Batch(ctx, topic, body, int(batch)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	closeErr := c.Close(ctx)
	select {
	case err := <-errs:
		return fmt.Errorf("fill topic %s: %w", topic, err)
	default:
		return closeErr
	}
}
