package dedupredis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/dedup/deduptest"
	dedupredis "github.com/rocketkit/rocketkit/dedup/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// over makes a store over go-redis.
func over(t *testing.T, addr string) *dedupredis.Store {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	t.Cleanup(func() {
		if err := rdb.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := dedupredis.New(func(ctx context.Context, script string, keys []string, args ...any) (any, error) {
		return rdb.Eval(ctx, script, keys, args...).Result()
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRedisDoesWhatAStoreMust(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	deduptest.Run(t, deduptest.Subject{
		New: func(t *testing.T) dedup.Store {
			server.FlushAll()
			return over(t, server.Addr())
		},
		Elapse: server.FastForward,
	})
}

func TestAServerThatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	s := over(t, server.Addr())
	c, err := s.Claim(t.Context(), "a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	if _, err := s.Claim(t.Context(), "a", time.Hour); err == nil {
		t.Error("it can be claimed")
	}
	if s.Complete(t.Context(), c, time.Hour) == nil || s.Release(t.Context(), c) == nil {
		t.Error("it can be completed and released")
	}
}

func TestAnAnswerThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := dedupredis.New(nil); err == nil {
		t.Error("nil is taken")
	}
	for _, answer := range []any{"1", int64(9), nil} {
		s, err := dedupredis.New(func(context.Context, string, []string, ...any) (any, error) { return answer, nil })
		if err != nil {
			t.Fatal(err)
		}
		if c, err := s.Claim(t.Context(), "a", time.Hour); err == nil {
			t.Errorf("%v: %+v", answer, c)
		}
	}
	broken := errors.New("broken")
	s, err := dedupredis.New(func(context.Context, string, []string, ...any) (any, error) { return nil, broken })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), "a", time.Hour); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// The adapter for go-redis; others have an Eval of the same kind.
func ExampleNew() {
	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer rdb.Close()
	store, err := dedupredis.New(func(ctx context.Context, script string, keys []string, args ...any) (any, error) {
		return rdb.Eval(ctx, script, keys, args...).Result()
	})
	if err != nil {
		panic(err)
	}
	var _ dedup.Store = store // for consumer.Deduplicate(store)
	// Output:
}
