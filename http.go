package rocketkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// HTTP is a Runner that serves HTTP on l, which it closes in the end. Put it behind what
// its handlers use: then it is drained before that, which finishes the requests under way
// and takes no more. Requests that have not ended in time are cut off. It is Failing: when
// srv cannot serve any more, Run ends with the reason.
//
// The port is taken by whoever listens, before anything is started:
//
//	l, err := net.Listen("tcp", ":8080")
//	err = rocketkit.Run(ctx, client, consumer, rocketkit.HTTP(l, &http.Server{Handler: mux}))
//
// For TLS give a listener of tls.NewListener.
func HTTP(l net.Listener, srv *http.Server) Runner {
	return &httpServer{l: l, srv: srv, served: make(chan error, 1)}
}

type httpServer struct {
	l      net.Listener
	srv    *http.Server
	served chan error // what Serve returned, but for an end that was asked for; then it is closed
}

func (s *httpServer) describe() string {
	if s.l == nil {
		return "HTTP"
	}
	return "HTTP at " + s.l.Addr().String()
}

func (s *httpServer) Start(context.Context) error {
	if s.l == nil || s.srv == nil {
		close(s.served)
		return errors.New("the listener or the server is nil")
	}
	go func() {
		defer close(s.served)
		if err := s.srv.Serve(s.l); !errors.Is(err, http.ErrServerClosed) {
			s.served <- err
		}
	}()
	return nil
}

func (s *httpServer) Failure(ctx context.Context) error {
	select {
	case err := <-s.served:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (s *httpServer) Drain(ctx context.Context) error {
	if s.l == nil || s.srv == nil {
		return nil
	}
	err := s.srv.Shutdown(ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), s.srv.Close())
	}
	return errors.Join(err, <-s.served) // nil when Failure has told it
}
