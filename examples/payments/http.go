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

	"github.com/rocketkit/rocketkit/health"
	"github.com/rocketkit/rocketkit/message"
)

// maxRequestBody bounds a form in bytes: the largest message, percent-encoded.
const maxRequestBody = 3*message.MaxBodySize + 1<<20

// listen takes the port before anything else is started.
func listen(ctx context.Context, s settings) (net.Listener, func(), error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; choose another address with --addr or HTTP_ADDR", err)
	}
	return l, func() { _ = l.Close() }, nil // closed already when it was served
}

func newServer(s settings, pay *payService, orders *orderService, checks *health.Checks, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /livez", checks.Live())
	mux.Handle("GET /readyz", checks.Ready())
	if s.Runs(servicePay) {
		pay.routes(mux)
	}
	if s.Runs(serviceOrderTimeout) {
		orders.routes(mux)
	}
	mux.HandleFunc("/", answering(func(_ http.ResponseWriter, r *http.Request) error {
		return fmt.Errorf("%w at %s %s in this process; see --service", errNoRoute, r.Method, r.URL.Path)
	}))
	return &http.Server{
		Handler:           http.MaxBytesHandler(mux, maxRequestBody),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// errNoRoute: no handler is for the request.
var errNoRoute = errors.New("nothing is served")

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error means that the client has gone
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

// answering answers the errors of h, which are RocketMQ's, the database's or of the request.
func answering(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			writeError(w, statusOf(err), err)
		}
	}
}

// statusOf is the HTTP status for an error.
func statusOf(err error) int {
	var refused *message.BrokerError
	switch {
	case errors.Is(err, message.ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, message.ErrInvalidMessage), errors.Is(err, errBadRequest):
		return http.StatusBadRequest
	case errors.Is(err, errNoOrder), errors.Is(err, errNoRoute):
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
