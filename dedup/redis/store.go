package dedupredis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/rocketkit/rocketkit/dedup"
)

// Eval runs a Lua script with its keys and arguments and returns the result, in the way
// of EVAL.
type Eval func(ctx context.Context, script string, keys []string, args ...any) (any, error)

// DefaultPrefix stands before each key unless Prefix says otherwise.
const DefaultPrefix = "rocketkit:dedup:"

// The value of a key is "done", or "claim:" and its token. Every argument is a string.
const (
	claimScript = `local v = redis.call('GET', KEYS[1])
if not v then
  redis.call('SET', KEYS[1], 'claim:' .. ARGV[1], 'PX', ARGV[2])
  return 1
end
if v == 'done' then return 2 end
return 0`
	completeScript = `redis.call('SET', KEYS[1], 'done', 'PX', ARGV[1])
return 1`
	releaseScript = `if redis.call('GET', KEYS[1]) == 'claim:' .. ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0`
)

// Store keeps a Redis key for each key. Make it with New.
type Store struct {
	eval   Eval
	prefix string
}

var _ dedup.Store = (*Store)(nil)

// Option sets something of a Store.
type Option func(*Store)

// Prefix stands before each key; DefaultPrefix by default.
func Prefix(p string) Option { return func(s *Store) { s.prefix = p } }

// New makes a store over a client's EVAL.
func New(eval Eval, opts ...Option) (*Store, error) {
	if eval == nil {
		return nil, errors.New("dedupredis.New: eval is nil; give the function that runs a script in your client")
	}
	s := &Store{eval: eval, prefix: DefaultPrefix}
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
	return s, nil
}

// Claim implements dedup.Store.
func (s *Store) Claim(ctx context.Context, key string, lease time.Duration) (dedup.Claim, error) {
	token := rand.Text()
	answer, err := s.run(ctx, "claim", claimScript, key, token, ms(lease))
	if err != nil {
		return dedup.Claim{}, err
	}
	switch answer {
	case 0:
		return dedup.Claim{Key: key}, nil
	case 1:
		return dedup.Claim{Key: key, State: dedup.Claimed, Token: token}, nil
	case 2:
		return dedup.Claim{Key: key, State: dedup.Done}, nil
	}
	return dedup.Claim{}, fmt.Errorf("claim %q: the script answers %d", key, answer)
}

// Complete implements dedup.Store.
func (s *Store) Complete(ctx context.Context, c dedup.Claim, ttl time.Duration) error {
	_, err := s.run(ctx, "complete", completeScript, c.Key, ms(ttl))
	return err
}

// Release implements dedup.Store.
func (s *Store) Release(ctx context.Context, c dedup.Claim) error {
	_, err := s.run(ctx, "release", releaseScript, c.Key, c.Token)
	return err
}

// ms is a time in milliseconds, of which Redis wants at least one.
func ms(d time.Duration) string { return fmt.Sprint(max(d.Milliseconds(), 1)) }

// run runs a script, whose answer is a number.
func (s *Store) run(ctx context.Context, what, script, key string, args ...any) (int64, error) {
	answer, err := s.eval(ctx, script, []string{s.prefix + key}, args...)
	if err != nil {
		return 0, fmt.Errorf("%s %q: %w", what, key, err)
	}
	switch n := answer.(type) {
	case int64:
		return n, nil
	case int:
		return int64(n), nil
	}
	return 0, fmt.Errorf("%s %q: the script answers %T, not a number; does eval return what EVAL answers?", what, key, answer)
}
