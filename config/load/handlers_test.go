package load_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
)

// Every key of a handler is read, from a file and from the environment.
func TestHandlersAreConfiguredByName(t *testing.T) {
	t.Parallel()
	got, err := load.Load(load.Data("app", "yaml", []byte(`
name_servers: a:1
log_level: warn
producer: {attempt_timeout: 1s, fault_avoidance: false, stable_keys: true}
consumers:
  - group: pay
    max_unsettled: 10
    max_unsettled_bytes: 1MiB
    max_span: 20
    strict_retry_delay: true
    backoff: {base: 1s, factor: 1.5, max: 1m, jitter: 0.2}
    handlers:
      - {name: paid, paused: true, rate_limit: 2.5, max_retries: 3, consume_timeout: 1m, batch_size: 7, batch_wait: 5ms, backoff: {base: 2s}}
      - {name: refund, kill-switch: {enabled: true, ratio: 0.3, at-least: 5, window: 10s, pause-for: 20s}}
`)), load.Environ([]string{"ROCKETMQ_CONSUMERS_0_HANDLERS_1_RATE_LIMIT=9", "ROCKETMQ_LOG_LEVEL=debug", "ROCKETMQ_CONSUMERS_0_HANDLERS_0_KILL_SWITCH_ENABLED=true"}))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		NameServers: []string{"a:1"}, LogLevel: "debug",
		Producer: config.Producer{AttemptTimeout: time.Second, FaultAvoidance: ptr(false), StableKeys: true},
		Consumers: []config.Consumer{{
			Group: "pay", MaxUnsettled: 10, MaxUnsettledBytes: 1 << 20, MaxSpan: 20, StrictRetryDelay: true,
			Backoff: config.Backoff{Base: time.Second, Factor: 1.5, Max: time.Minute, Jitter: 0.2},
			Handlers: []config.Handler{
				{Name: "paid", Paused: true, RateLimit: 2.5, MaxRetries: ptr(3), ConsumeTimeout: time.Minute, BatchSize: 7, BatchWait: 5 * time.Millisecond,
					Backoff: config.Backoff{Base: 2 * time.Second}, KillSwitch: config.KillSwitch{Enabled: true}},
				{Name: "refund", RateLimit: 9, KillSwitch: config.KillSwitch{Enabled: true, Ratio: 0.3, AtLeast: 5, Window: 10 * time.Second, PauseFor: 20 * time.Second}},
			},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}
