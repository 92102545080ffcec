package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// maxRequestBody bounds a form in bytes: the largest message, percent-encoded.
const maxRequestBody = 3*message.MaxBodySize + 1<<20

// server serves HTTP on a listener. It is a rocketkit.Runner.
type server struct {
	http   http.Server
	l      net.Listener
	log    *slog.Logger
	served chan error // of capacity 1: what Serve returned
}

// listen takes the port before anything else is started.
func listen(ctx context.Context, s settings) (net.Listener, func(), error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; choose another address with --addr or HTTP_ADDR", err)
	}
	return l, func() { _ = l.Close() }, nil // closed already when it was served
}

func newServer(l net.Listener, s settings, pay *payService, orders *orderService, log *slog.Logger) *server {
	mux := http.NewServeMux()
	if s.runs(servicePay) {
		pay.routes(mux)
	}
	if s.runs(serviceOrderTimeout) {
		orders.routes(mux)
	}
	return &server{l: l, log: log, served: make(chan error, 1), http: http.Server{
		Handler:           http.MaxBytesHandler(inJSON(mux), maxRequestBody),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
}

// Start implements rocketkit.Runner.
func (s *server) Start(context.Context) error {
	go func() { s.served <- s.http.Serve(s.l) }()
	return nil
}

// requestsTimeout is how long requests under way get when the service ends.
const requestsTimeout = time.Second

// Drain implements rocketkit.Runner: it takes no more requests and finishes those
// under way, or cuts them off.
func (s *server) Drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestsTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("requests were cut off", "after", requestsTimeout)
		err = s.http.Close()
	}
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// inJSON lets the router's own errors be JSON too.
func inJSON(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refusal := &recorder{header: w.Header()} // keeps Allow
		mux.ServeHTTP(refusal, r)
		switch refusal.status {
		case http.StatusMethodNotAllowed:
			writeError(w, refusal.status, fmt.Errorf("%s is not allowed at %s; allowed: %s", r.Method, r.URL.Path, w.Header().Get("Allow")))
		default:
			writeError(w, http.StatusNotFound, fmt.Errorf("nothing is served at %s in this process; see --service", r.URL.Path))
		}
	})
}

// recorder takes an answer's status and drops its text.
type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }

// writeJSON answers with v. An error means that the client has gone.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// failure is how errors are answered.
type failure struct {
	Error string `json:"error"`
	// SafeToRetry: the request has sent nothing.
	SafeToRetry bool `json:"safeToRetry"`
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, failure{err.Error(), status < http.StatusInternalServerError || message.SafeToRetry(err)})
}

// writeFailure answers an error of RocketMQ or the database.
func writeFailure(w http.ResponseWriter, err error) { writeError(w, statusOf(err), err) }

// statusOf is the HTTP status for an error.
func statusOf(err error) int {
	var refused *message.BrokerError
	switch {
	case errors.Is(err, message.ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, message.ErrInvalidMessage), errors.Is(err, errBadRequest):
		return http.StatusBadRequest
	case errors.Is(err, errNoOrder):
		return http.StatusNotFound
	case errors.Is(err, message.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.As(err, &refused):
		return http.StatusBadGateway
	case message.SafeToRetry(err):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
