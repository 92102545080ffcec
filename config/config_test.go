package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ptr[T any](v T) *T { return &v }

func TestNameServersFallBackToApachesVariable(t *testing.T) {
	for name, tc := range map[string]struct {
		given []string
		env   string
		want  []string
	}{
		"given":             {[]string{"a:1", "b:2"}, "c:3", []string{"a:1", "b:2"}},
		"given in one text": {[]string{"a:1;b:2", "c:3, d:4"}, "", []string{"a:1", "b:2", "c:3", "d:4"}},
		"from the variable": {nil, "a:1;b:2", []string{"a:1", "b:2"}},
		"given as nothing":  {[]string{" ; "}, "a:1", []string{"a:1"}},
		"neither":           {nil, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(config.EnvNameServers, tc.env)
			c := config.Config{NameServers: tc.given}.WithDefaults()
			if diff := cmp.Diff(tc.want, c.NameServers); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.Driver != "native" {
				t.Errorf("driver %q", c.Driver)
			}
		})
	}
}

func TestMistakesAreReportedTogether(t *testing.T) {
	t.Parallel()
	c := config.Config{
		NameServers: []string{"nowhere", ":9876"},
		Credentials: config.Credentials{AccessKey: "", SecretKey: "s", SecretKeyFile: "f"},
		TLS:         config.TLS{CertFile: "c"},
		Producer: config.Producer{
			Group: "bad group", SendTimeout: -1, Retries: ptr(-1), MaxMessageSize: -1, MaxInFlight: -1, MaxInFlightBytes: -1,
			Breaker: config.Breaker{Failures: -1, OpenFor: -1}, RateLimit: -1, Linger: -1, BatchBytes: -1, Compression: "gzip", CompressOver: -1, CompressionLevel: 1,
		},
		Consumers: []config.Consumer{
			{},
			{Group: "g", Model: "clustering", Instance: "i", Order: "all", Suspend: -1, From: "middle", Concurrency: -1, PullBatch: -1, MaxRetries: ptr(-1), ConsumeTimeout: -1, ShutdownTimeout: -1,
				Handlers: []config.Handler{{}, {Name: "h", Concurrency: -1}, {Name: "h"}}},
			{Group: "g", Model: "other", Allocation: "at random", PullWait: -1, Invisible: -1},
			{Group: "all", Model: "broadcasting", Allocation: "by_circle"},
		},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`"nowhere"`, `":9876"`, "access_key is missing", "both given", "tls: enabled is false", "cert_file and key_file",
		"producer.group", "producer.send_timeout", "producer.retries", "producer.max_message_size", "producer.max_in_flight:", "producer.max_in_flight_bytes",
		"producer.rate_limit", "producer.linger", "producer.batch_bytes is negative", "does nothing without linger", "producer.compression: \"gzip\"", "producer.compress_over is negative", "producer.breaker.failures", "producer.breaker.open_for", "consumers[0].group", "instance and offset_dir do nothing with model clustering", `order: "all"`, "consumers[group g].suspend", `from: "middle"`,
		"consumers[group g].concurrency", "pull_batch", "max_retries", "consume_timeout", "shutdown_timeout", "handlers[0]: name is missing",
		"handlers[1].concurrency", `"h" is configured twice`, "the group is configured twice", `model: "other"`,
		"compression_level: it does nothing with compression gzip", `allocation: "at random"; want averagely, by_circle or consistent_hash`, "pull_wait", "invisible", "allocation: it does nothing with model broadcasting",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not mentioned: %s", want)
		}
	}
	if !errors.Is(err, message.ErrInvalidGroup) {
		t.Errorf("a sentinel is missing in\n%v", err)
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestCompressionHasItsLevels(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind  string
		level int
		want  string
	}{
		"zlib":          {"", 9, ""},
		"zlib beyond":   {"zlib", 10, "compression_level: 10; want 1 to 9"},
		"zstd":          {"zstd", 22, ""},
		"zstd beyond":   {"zstd", -1, "compression_level: -1; want 1 to 22"},
		"lz4 has none":  {"lz4", 1, "does nothing with compression lz4"},
		"nor has none":  {"none", 1, "does nothing with compression none"},
		"the default's": {"lz4", 0, ""},
	} {
		err := config.Config{NameServers: []string{"a:1"}, Producer: config.Producer{Compression: tc.kind, CompressionLevel: tc.level}}.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestAConfigOfNameServersIsEnough(t *testing.T) {
	t.Parallel()
	if err := (config.Config{NameServers: []string{"127.0.0.1:9876", "[::1]:9876", "ns.example:9876"}}).Validate(); err != nil {
		t.Error(err)
	}
	err := config.Config{}.Validate()
	if err == nil || !strings.Contains(err.Error(), "NAMESRV_ADDR") {
		t.Errorf("without name servers: %v", err)
	}
	if err := (config.Config{NameServers: []string{"a:1"}, Credentials: config.Credentials{AccessKey: "a"}}).Validate(); err == nil {
		t.Error("half a pair of credentials was accepted")
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	c := config.Config{
		NameServers: []string{"a:9876"},
		Credentials: config.Credentials{AccessKey: "ak", SecretKey: "hunter2", SecurityToken: "hunter2"},
		Producer:    config.Producer{Retries: ptr(0), SendTimeout: time.Second, MaxMessageSize: 1 << 20},
		Consumers:   []config.Consumer{{Group: "g", Handlers: []config.Handler{{Name: "h", Enabled: ptr(false)}}}},
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "credentials", c.Credentials)
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		c.String(), fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), fmt.Sprintf("%v %+v %#v", c.Credentials, c.Credentials, c.Credentials), log.String(), string(js),
	} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("shows the secret: %s", text)
		}
	}
	want := "name_servers=[a:9876] credentials=access key ak, secret redacted producer.send_timeout=1s producer.retries=0 producer.max_message_size=1MiB consumers[0].group=g consumers[0].handlers[0].name=h consumers[0].handlers[0].enabled=false"
	if diff := cmp.Diff(want, c.String()); diff != "" {
		t.Errorf("String (-want +got):\n%s", diff)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{
		"4MiB": 4 << 20, "64 KiB": 64 << 10, "1gib": 1 << 30, "4MB": 4_000_000, "512B": 512, "123": 123, " 7 ": 7, "0": 0, "2KB": 2000,
	} {
		got, err := config.ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v", text, got, err)
		}
		again, err := config.ParseSize(got.String())
		if err != nil || again != got {
			t.Errorf("%q is shown as %q, which is %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "4 potatoes", "9999999999GiB", "0x10", "1e3"} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d", text, got)
		}
	}
}

func TestConsumersAreFoundByGroup(t *testing.T) {
	t.Parallel()
	c := config.Config{Consumers: []config.Consumer{{Group: "a", Concurrency: 1}, {Group: "b", Concurrency: 2}}}
	if got, ok := c.ConsumerOf("b"); !ok || got.Concurrency != 2 {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := c.ConsumerOf("c"); ok {
		t.Error("found what is not there")
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"4MiB", "1", "9223372036854775807", "8GiB ", "B", "１KiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := config.ParseSize(text)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("%q is %d", text, n)
		}
		if again, err := config.ParseSize(n.String()); err != nil || again != n {
			t.Fatalf("%q is %d, shown as %q, which is %d, %v", text, n, n, again, err)
		}
	})
}

func ExampleConfig() {
	retries := 3
	c := config.Config{
		NameServers: []string{"ns1:9876;ns2:9876"},
		Producer:    config.Producer{Group: "pay_group", Retries: &retries},
	}.WithDefaults()
	fmt.Println(c)
	// Output: name_servers=[ns1:9876 ns2:9876] driver=native producer.group=pay_group producer.retries=3
}
