package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Validate reports every mistake, joined. Call it on what WithDefaults returned.
func (c Config) Validate() error {
	v := &validator{}
	if len(c.NameServers) == 0 {
		v.mistake("name_servers: none are given; set name_servers, ROCKETMQ_NAME_SERVERS or %s, such as 127.0.0.1:9876", EnvNameServers)
	}
	for _, a := range c.NameServers {
		if u, err := url.Parse(a); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
			continue // an endpoint that tells them
		}
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			v.mistake("name_servers: %q is not host:port, such as localhost:9876, nor the URL of an endpoint that answers with addresses", a)
		}
	}
	if err := message.CheckNamespace(c.Namespace); err != nil {
		v.mistake("namespace: %w", err)
	}
	var level slog.Level
	v.check(c.LogLevel == "" || level.UnmarshalText([]byte(c.LogLevel)) == nil, "log_level: %q; want debug, info, warn or error", c.LogLevel)
	v.credentials(c.Credentials)
	v.tls(c.TLS)
	v.producer(c.Producer)
	if t := c.Telemetry.MessageTraceTopic; t != "" {
		if err := message.CheckTopic(t); err != nil {
			v.mistake("telemetry: message_trace_topic: %w", err)
		}
	}
	seen := map[string]bool{}
	for i, cc := range c.Consumers {
		at := fmt.Sprintf("consumers[%d]", i)
		if cc.Group != "" {
			at = fmt.Sprintf("consumers[group %s]", cc.Group)
		}
		v.consumer(at, cc)
		v.check(!seen[cc.Group], "%s: the group is configured twice", at)
		seen[cc.Group] = true
	}
	return errors.Join(v.errs...)
}

type validator struct{ errs []error }

func (v *validator) mistake(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("config: "+format, args...))
}

func (v *validator) check(ok bool, format string, args ...any) {
	if !ok {
		v.mistake(format, args...)
	}
}

func (v *validator) notNegative(key string, n int) { v.check(n >= 0, "%s: %d is negative", key, n) }

func (v *validator) duration(key string, d time.Duration) {
	v.check(d >= 0, "%s: %s is negative", key, d)
}

func (v *validator) rate(key string, perSecond float64) {
	v.check(perSecond >= 0 && perSecond <= math.MaxFloat64, "%s: %v is no number of 0 or more", key, perSecond)
}

func (v *validator) credentials(c Credentials) {
	if c == (Credentials{}) {
		return
	}
	v.check(c.AccessKey != "", "credentials: access_key is missing")
	v.check(c.SecretKey == "" || c.SecretKeyFile == "", "credentials: secret_key and secret_key_file are both given")
	v.check(c.SecretKey != "" || c.SecretKeyFile != "", "credentials: secret_key or secret_key_file is missing")
}

func (v *validator) tls(t TLS) {
	v.check(t.Enabled || t == TLS{}, "tls: enabled is false, so that the other keys would do nothing")
	v.check((t.CertFile == "") == (t.KeyFile == ""), "tls: cert_file and key_file are given together or not at all")
}

func (v *validator) producer(p Producer) {
	if p.Group != "" {
		if err := message.CheckGroup(p.Group); err != nil {
			v.mistake("producer.group: %w", err)
		}
	}
	v.duration("producer.send_timeout", p.SendTimeout)
	v.duration("producer.attempt_timeout", p.AttemptTimeout)
	if p.Retries != nil {
		v.notNegative("producer.retries", *p.Retries)
	}
	v.check(p.MaxMessageSize >= 0, "producer.max_message_size is negative")
	v.check(p.MaxInFlightBytes >= 0, "producer.max_in_flight_bytes is negative")
	v.duration("producer.linger", p.Linger)
	v.check(p.BatchBytes >= 0, "producer.batch_bytes is negative")
	v.check(p.BatchBytes == 0 || p.Linger > 0, "producer.batch_bytes: it does nothing without linger")
	v.rate("producer.rate_limit", p.RateLimit)
	switch p.Compression {
	case "", "zlib", "lz4", "zstd":
	case "none":
		v.check(p.CompressOver == 0, "producer.compress_over: it does nothing with compression none")
	default:
		v.mistake("producer.compression: %q; want zlib, lz4, zstd or none", p.Compression)
	}
	v.check(p.CompressOver >= 0, "producer.compress_over is negative")
	switch level, most := p.CompressionLevel, map[string]int{"": 9, "zlib": 9, "zstd": 22}[p.Compression]; {
	case level == 0:
	case most > 0:
		v.check(level >= 1 && level <= most, "producer.compression_level: %d; want 1 to %d", level, most)
	default:
		v.mistake("producer.compression_level: it does nothing with compression %s", p.Compression)
	}
	v.notNegative("producer.max_in_flight", p.MaxInFlight)
	v.notNegative("producer.breaker.failures", p.Breaker.Failures)
	v.duration("producer.breaker.open_for", p.Breaker.OpenFor)
}

func (v *validator) consumer(at string, c Consumer) {
	if err := message.CheckGroup(c.Group); err != nil {
		v.mistake("%s.group: %w", at, err)
	}
	switch c.Model {
	case "", "broadcasting":
	case "clustering":
		v.check(c.Instance == "" && c.OffsetDir == "", "%s: instance and offset_dir do nothing with model clustering", at)
	default:
		v.mistake("%s.model: %q; want clustering or broadcasting", at, c.Model)
	}
	v.check(c.Order == "" || c.Order == "queue" || c.Order == "sharding_key", "%s.order: %q; want queue or sharding_key", at, c.Order)
	v.duration(at+".suspend", c.Suspend)
	switch c.Allocation {
	case "", "averagely", "by_circle", "consistent_hash":
		v.check(c.Allocation == "" || c.Model != "broadcasting", "%s.allocation: it does nothing with model broadcasting: each member has all queues", at)
	default:
		v.mistake("%s.allocation: %q; want averagely, by_circle or consistent_hash", at, c.Allocation)
	}
	v.duration(at+".pull_wait", c.PullWait)
	v.duration(at+".invisible", c.Invisible)
	if c.From != "" && c.From != "last" && c.From != "first" {
		_, err := time.Parse(time.RFC3339, c.From)
		v.check(err == nil, "%s.from: %q; want last, first or a time such as 2026-01-31T08:00:00Z", at, c.From)
	}
	v.notNegative(at+".concurrency", c.Concurrency)
	v.notNegative(at+".pull_batch", c.PullBatch)
	v.notNegative(at+".max_unsettled", c.MaxUnsettled)
	v.check(c.MaxUnsettledBytes >= 0, "%s.max_unsettled_bytes is negative", at)
	v.notNegative(at+".max_span", c.MaxSpan)
	v.backoff(at, c.Backoff)
	if c.MaxRetries != nil {
		v.notNegative(at+".max_retries", *c.MaxRetries)
	}
	v.duration(at+".consume_timeout", c.ConsumeTimeout)
	v.duration(at+".shutdown_timeout", c.ShutdownTimeout)
	seen := map[string]bool{}
	for i, h := range c.Handlers {
		v.check(h.Name != "", "%s.handlers[%d]: name is missing", at, i)
		v.check(h.Name == "" || !seen[h.Name], "%s.handlers: %q is configured twice", at, h.Name)
		seen[h.Name] = true
		v.handler(fmt.Sprintf("%s.handlers[%d]", at, i), h)
	}
}

func (v *validator) handler(at string, h Handler) {
	v.notNegative(at+".concurrency", h.Concurrency)
	if h.MaxRetries != nil {
		v.notNegative(at+".max_retries", *h.MaxRetries)
	}
	v.backoff(at, h.Backoff)
	v.duration(at+".consume_timeout", h.ConsumeTimeout)
	v.rate(at+".rate_limit", h.RateLimit)
	v.notNegative(at+".batch_size", h.BatchSize)
	v.duration(at+".batch_wait", h.BatchWait)
	k := h.KillSwitch
	v.check(k.Enabled || k == KillSwitch{}, "%s.kill_switch: enabled is false, so that the other keys would do nothing", at)
	v.check(k.Ratio >= 0 && k.Ratio <= 1, "%s.kill_switch.ratio: %v is not within 0 and 1", at, k.Ratio)
	v.notNegative(at+".kill_switch.at_least", k.AtLeast)
	v.duration(at+".kill_switch.window", k.Window)
	v.duration(at+".kill_switch.pause_for", k.PauseFor)
}

func (v *validator) backoff(at string, b Backoff) {
	v.duration(at+".backoff.base", b.Base)
	v.check(b.Base > 0 || b == Backoff{}, "%s.backoff: base is missing, without which the other keys do nothing", at)
	v.check(b.Factor == 0 || b.Factor >= 1 && b.Factor <= math.MaxFloat64, "%s.backoff.factor: %v is no number of 1 or more", at, b.Factor)
	v.check(b.Max == 0 || b.Max >= b.Base, "%s.backoff.max: %s is less than base", at, b.Max)
	v.check(b.Jitter >= 0 && b.Jitter <= 1, "%s.backoff.jitter: %v is not within 0 and 1", at, b.Jitter)
}
