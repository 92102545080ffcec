package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/config"
)

func TestTheDifferencesOfTwoConfigurations(t *testing.T) {
	t.Parallel()
	from := config.Config{
		NameServers: []string{"a:1"},
		Credentials: config.Credentials{AccessKey: "ak", SecretKey: "hunter2"},
		Producer:    config.Producer{Retries: ptr(2), RateLimit: 10},
		Consumers: []config.Consumer{
			{Group: "gone", PullBatch: 7},
			{Group: "pay", Concurrency: 20, Handlers: []config.Handler{{Name: "paid", Enabled: ptr(true)}, {Name: "refund"}}},
		},
	}
	to := config.Config{
		NameServers: []string{"a:1", "b:2"},
		Credentials: config.Credentials{AccessKey: "ak", SecretKey: "hunter3", SecurityToken: "hunter4"},
		Producer:    config.Producer{Retries: ptr(0), RateLimit: 2.5, SendTimeout: time.Second},
		Consumers: []config.Consumer{
			{Group: "pay", Handlers: []config.Handler{{Name: "refund", Paused: true, RateLimit: 1}, {Name: "paid", Enabled: ptr(false), Concurrency: 3, KillSwitch: config.KillSwitch{Enabled: true}}}},
			{Group: "new", Concurrency: 3},
		},
		LogLevel: "warn",
	}
	const paid, refund = "consumers[group pay].handlers[paid]", "consumers[group pay].handlers[refund]"
	want := []config.Change{
		{"name_servers", "[a:1]", "[a:1 b:2]", false},
		{"credentials.secret_key", "redacted", "redacted", false},
		{"credentials.security_token", "redacted", "redacted", false},
		{"producer.send_timeout", "nothing", "1s", false},
		{"producer.retries", "2", "0", false},
		{"producer.rate_limit", "10", "2.5", true},
		{"consumers[group gone].pull_batch", "7", "nothing", false},
		{"consumers[group pay].concurrency", "20", "nothing", true},
		{paid + ".enabled", "true", "false", false},
		{paid + ".concurrency", "nothing", "3", true},
		{paid + ".kill_switch.enabled", "nothing", "true", false},
		{refund + ".paused", "nothing", "true", true},
		{refund + ".rate_limit", "nothing", "1", true},
		{"consumers[group new].concurrency", "nothing", "3", true},
		{"log_level", "nothing", "warn", true},
	}
	got := config.Changes(from, to)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if same := config.Changes(to, to); len(same) != 0 {
		t.Errorf("of one configuration: %v", same)
	}
	var err error = &config.RestartError{Changes: got[:9]}
	for _, part := range []string{"restart required", "nothing was changed", "producer.retries from 2 to 0", "credentials.secret_key (redacted)", "paused: true holds a handler"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("not mentioned: %s in %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "hunter") {
		t.Errorf("shows a secret: %v", err)
	}
	if r := new(config.RestartError); !errors.As(err, &r) || len(r.Changes) != 9 {
		t.Errorf("%#v", err)
	}
}
