package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/consumer"
)

func TestAFetchBeforeStartSaysSo(t *testing.T) {
	t.Parallel()
	f, err := consumer.NewFetcher(newScripted(), "report", []consumer.Subscription{{Topic: "orders"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Fetch(ctx, 1); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "Fetcher.Start") {
		t.Errorf("before Start: %v", err)
	}
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(ctx, 1); err != context.Canceled {
		t.Errorf("after Start: %v", err)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
