package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// reading is a driver that pulls, too.
type reading struct{ driver.Puller }

// What a consumer without handlers does not act on is refused and named, not dropped.
func TestOptionsOfOtherKindsOfConsumersAreRefused(t *testing.T) {
	t.Parallel()
	makers := map[string]func(opts ...consumer.GroupOption) error{
		"Fetcher": func(opts ...consumer.GroupOption) error {
			_, err := consumer.NewFetcher(newScripted(), "pay", []consumer.Subscription{{Topic: "orders"}}, opts...)
			return err
		},
		"Puller": func(opts ...consumer.GroupOption) error {
			_, err := consumer.NewPuller(reading{}, "pay", consumer.Subscription{Topic: "orders"}, opts...)
			return err
		},
		"SimpleConsumer": func(opts ...consumer.GroupOption) error {
			_, err := consumer.NewSimpleConsumer(&popping{scripted: newScripted()}, "pay", []consumer.Subscription{{Topic: "orders"}}, opts...)
			return err
		},
	}
	for option, tc := range map[string]struct {
		o     consumer.GroupOption
		heeds string // by whom it is heeded
	}{
		"Ordered":             {consumer.Ordered(), ""},
		"Suspend":             {consumer.Suspend(time.Second), ""},
		"Broadcast":           {consumer.Broadcast(), ""},
		"Instance":            {consumer.Instance("a"), ""},
		"OffsetDir":           {consumer.OffsetDir("/tmp"), ""},
		"Concurrency":         {consumer.Concurrency(3), ""},
		"Codec":               {consumer.Codec(codec.JSON{}), ""},
		"Timeout":             {consumer.Timeout(time.Second), ""},
		"Deduplicate":         {consumer.Deduplicate(dedup.NewMemory()), ""},
		"Placeholders":        {properties(), ""},
		"Codecs":              {consumer.Codecs(cbor{}), ""},
		"ForHandler":          {consumer.ForHandler("orders"), ""},
		"Disable":             {consumer.Disable("orders"), ""},
		"From":                {consumer.From(consumer.First), "Fetcher Puller SimpleConsumer"},
		"FromTime":            {consumer.FromTime(time.Unix(1, 0)), "Fetcher Puller"},
		"Invisible":           {consumer.Invisible(time.Minute), "SimpleConsumer"},
		"PullWait":            {consumer.PullWait(time.Second), "Puller SimpleConsumer"},
		"Retry":               {consumer.Retry(retry.Levels(3)), "Fetcher SimpleConsumer"},
		"MaxRetries":          {consumer.MaxRetries(3), "Fetcher SimpleConsumer"},
		"Retry by a back-off": {consumer.Retry(retry.Exponential(3, growing)), "Fetcher"},
		"Allocate":            {consumer.Allocate(byHand{}), "Fetcher"},
		"PullBatch":           {consumer.PullBatch(3), "Fetcher"},
		"MaxUnsettled":        {consumer.MaxUnsettled(3), "Fetcher"},
		"MaxUnsettledBytes":   {consumer.MaxUnsettledBytes(1 << 20), "Fetcher"},
		"MaxSpan":             {consumer.MaxSpan(3), "Fetcher"},
		"ShutdownTimeout":     {consumer.ShutdownTimeout(time.Second), "Fetcher"},
		"StrictRetryDelay":    {consumer.StrictRetryDelay(), "Fetcher"},
		"Logger":              {consumer.Logger(nil), "Fetcher Puller SimpleConsumer"},
		"Tracer":              {consumer.Tracer(nil), "Fetcher Puller SimpleConsumer"},
	} {
		name, _, _ := strings.Cut(option, " ")
		for kind, made := range makers {
			err := made(tc.o)
			if strings.Contains(tc.heeds, kind) {
				if err != nil {
					t.Errorf("%s of a %s: %v", option, kind, err)
				}
				continue
			}
			if !errors.Is(err, consumer.ErrRegistration) || !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), kind) {
				t.Errorf("%s of a %s: %v", option, kind, err)
			}
		}
	}
}

func TestAStrictFetcherHasItsDelaysKept(t *testing.T) {
	t.Parallel()
	drv := newScripted()
	subs := []consumer.Subscription{{Topic: "orders"}}
	f, err := consumer.NewFetcher(drv, "pay", subs, consumer.StrictRetryDelay())
	if err != nil {
		t.Fatal(err)
	}
	q := drv.sub(t, "pay").assign()
	q.deliver(msg("1", "orders", "", "x"))
	ds, err := f.Fetch(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Retry(time.Minute, ds...); err != nil {
		t.Error(err)
	}
	if v := q.await(1)[0].Verdict; !v.Strict || v.Delay != time.Minute {
		t.Errorf("settled with %+v", v)
	}
	if err := f.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	drv.caps.ExactRetryDelay = false
	if _, err := consumer.NewFetcher(drv, "pay", subs, consumer.StrictRetryDelay()); !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "StrictRetryDelay") {
		t.Errorf("by a driver that rounds: %v", err)
	}
}
