// Package dedupredis is a dedup.Store in Redis, from 2.6.12 on, or what speaks its
// protocol, for all members of a group. It brings no client: whichever a program has runs
// three small scripts, here go-redis:
//
//	store, err := dedupredis.New(func(ctx context.Context, script string, keys []string, args ...any) (any, error) {
//		return rdb.Eval(ctx, script, keys, args...).Result()
//	})
//
// Each script has one key, so that a cluster can run it. A server that loses what it has,
// by a fail-over or by evicting keys, has messages handled again.
package dedupredis
