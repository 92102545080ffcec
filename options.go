package rocketkit

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/driver/native"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/trace"
)

// Option sets something of a Client that a Config cannot.
type Option func(*settings)

type settings struct {
	factories map[string]driver.Factory
	preferred string // the driver when the configuration names none
	logger    *slog.Logger
	telemetry trace.Options
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	tls       *tls.Config

	messageTrace      bool
	messageTraceTopic string

	nils int // options that are nil
}

func newSettings(opts []Option) *settings {
	s := &settings{
		factories: map[string]driver.Factory{native.Name: native.Factory},
		preferred: native.Name,
		logger:    slog.New(slog.DiscardHandler),
	}
	for _, o := range opts {
		if o == nil {
			s.nils++
			continue
		}
		o(s)
	}
	return s
}

// WithDriver links a driver and makes it the one that is used unless the
// configuration names another:
//
//	rocketkit.WithDriver("rocketmq-client-go", clientgo.Factory)
func WithDriver(name string, f driver.Factory) Option {
	return func(s *settings) { s.factories[name], s.preferred = f, name }
}

// WithLogger takes what the client has to say; nothing is logged without one.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) {
		if l != nil {
			s.logger = l
		}
	}
}

// WithTelemetry tells OpenTelemetry what the client does: spans of what is sent and
// received, whose context travels with the messages, and metrics, each where o has a
// provider for it and the configuration does not switch it off. Package trace lists them.
//
//	rocketkit.WithTelemetry(trace.Options{Provider: otel.GetTracerProvider(), MeterProvider: otel.GetMeterProvider()})
func WithTelemetry(o trace.Options) Option { return func(s *settings) { s.telemetry = o } }

// WithDial opens connections by dial instead of net.Dialer.
func WithDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(s *settings) { s.dial = dial }
}

// WithTLSConfig encrypts connections by cfg, in place of the configuration's
// section tls.
func WithTLSConfig(cfg *tls.Config) Option { return func(s *settings) { s.tls = cfg } }

// validate reports mistakes in the options.
func (s *settings) validate() error {
	if s.nils > 0 {
		return fmt.Errorf("open: %d of the options are nil; remove them", s.nils)
	}
	if s.messageTraceTopic != "" {
		if err := message.CheckTopic(s.messageTraceTopic); err != nil {
			return fmt.Errorf("open: WithMessageTrace: %w", err)
		}
	}
	return nil
}

// tracer is what tells OpenTelemetry, as far as the configuration lets it; nil for nothing.
func (s *settings) tracer(cfg Config, d driver.Driver) *trace.Tracer {
	o := s.telemetry
	if on := cfg.Telemetry.Traces; on != nil && !*on {
		o.Provider = nil
	}
	if on := cfg.Telemetry.Metrics; on != nil && !*on {
		o.MeterProvider = nil
	}
	if o.Namespace == "" {
		o.Namespace = cfg.Namespace
	}
	if id, ok := d.(driver.Identified); ok && o.ClientID == "" {
		o.ClientID = id.ClientID()
	}
	return trace.New(o)
}

// chosen is the driver to use when the configuration says named.
func (s *settings) chosen(named string) string {
	if named == "" {
		return s.preferred
	}
	return named
}

func (s *settings) factory(name string) (driver.Factory, error) {
	if f := s.factories[name]; f != nil {
		return f, nil
	}
	return nil, &DriverError{Name: name, Linked: slices.Sorted(maps.Keys(s.factories))}
}

// driverConfig is what the driver is told.
func (s *settings) driverConfig(cfg Config) (driver.Config, error) {
	dc := driver.Config{NameServers: cfg.NameServers, Namespace: cfg.Namespace, VIPChannel: cfg.VIPChannel, Dial: s.dial, TLS: s.tls, Logger: s.logger}
	c := cfg.Credentials
	secret, err := c.Secret()
	if err != nil {
		return dc, err
	}
	dc.Credentials = driver.Credentials{AccessKey: c.AccessKey, SecretKey: secret, SecurityToken: c.SecurityToken}
	if dc.TLS == nil {
		dc.TLS, err = cfg.TLS.Config()
	}
	return dc, err
}
