package brokerlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/broker-lite/internal/metrics"
)

// HTTP serves HTTPHandler at an address, host:port; port 0 picks a free one, and
// HTTPAddr tells it. It begins before the store is recovered and ends after the
// broker's connections. Nobody is asked who they are: the address should be one that
// only those reach who may see it. httpAddress in a broker.conf does the same.
func HTTP(addr string) Option {
	return func(s *settings) {
		s.edits = append(s.edits, func(c *config.Config) ([]string, error) {
			return c.Read("httpAddress=" + addr)
		})
	}
}

// HTTPDebug has HTTPHandler serve h below /debug/, for package net/http/pprof above
// all. broker-lite does not import that package, which registers itself with
// http.DefaultServeMux.
func HTTPDebug(h http.Handler) Option { return func(s *settings) { s.debug = h } }

// phase is how far a server's life is.
type phase int32

const (
	starting phase = iota
	running
	draining
	ended
)

func (b *Broker) at(p phase) { b.phase.Store(int32(p)) }

// ready says why the server does not take messages now.
func (b *Broker) ready() error {
	switch phase(b.phase.Load()) {
	case starting:
		return errors.New("the server is starting")
	case draining:
		return errors.New("the server is stopping")
	case ended:
		return errors.New("the server has stopped")
	}
	if b.broker == nil {
		return nil // a name server
	}
	return b.broker.Ready()
}

// HTTPHandler serves
//
//	/metrics   metrics of the broker in Prometheus' text format, with the names of
//	           Apache's 5.x; a name server alone has none
//	/healthz   200 as long as the process answers
//	/readyz    200 while the broker runs and a name server knows it, also while its disk
//	           is too full for messages; else 503 with the reason: it starts, it
//	           stops, or a sync of its disk failed
//	/debug/    what HTTPDebug was given
func (b *Broker) HTTPHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", b.serveMetrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { b.respond(w, "ok\n", nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { b.respond(w, "ready\n", b.ready()) })
	if b.plan.debug != nil {
		mux.Handle("/debug/", b.plan.debug)
	}
	return mux
}

func (b *Broker) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	var body bytes.Buffer
	var err error
	switch p := phase(b.phase.Load()); {
	case p == starting || p == ended:
		err = b.ready()
	case b.broker != nil:
		err = b.broker.WriteMetrics(&body)
	}
	if err == nil {
		w.Header().Set("Content-Type", metrics.ContentType)
	}
	b.respond(w, body.String(), err)
}

// respond answers with a text, or with 503 and an error.
func (b *Broker) respond(w http.ResponseWriter, text string, failed error) {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	h.Set("Cache-Control", "no-store")
	if failed != nil {
		text = failed.Error() + "\n"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		b.logger.Debug("an HTTP answer was not sent", "err", err)
	}
}

// HTTPAddr is the address that HTTP serves, host:port; "" without it.
func (b *Broker) HTTPAddr() string {
	if b.http == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(b.plan.config.HTTPAddress)
	if err != nil {
		return ""
	}
	return dialable(b.http.l, host)
}

// httpServer is the HTTP server with its accept loop.
type httpServer struct {
	*http.Server
	l      net.Listener
	served chan error // of capacity 1: what Serve returned
}

func (b *Broker) startHTTP() error {
	addr := b.plan.config.HTTPAddress
	if addr == "" {
		return nil
	}
	l, err := b.listen(addr)
	if err != nil {
		return listenError("metrics and health", addr, "--http-addr, httpAddress in broker.conf, or brokerlite.HTTP", err)
	}
	b.http = &httpServer{l: l, served: make(chan error, 1), Server: &http.Server{
		Handler: b.HTTPHandler(), ReadHeaderTimeout: httpTimeout, ReadTimeout: httpTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(b.logger.Handler(), slog.LevelDebug),
	}}
	go func() { b.http.served <- b.http.Serve(l) }()
	return nil
}

// httpTimeout bounds how long a request may take to arrive.
const httpTimeout = 10 * time.Second

// shutdown ends the server; answers that ctx does not wait for are cut off.
func (s *httpServer) shutdown(ctx context.Context) error {
	if s == nil {
		return nil
	}
	err := s.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("HTTP requests are cut off: %w", err), s.Server.Close())
	}
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
