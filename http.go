package rocketkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// HTTP is a Runner that serves HTTP on l, which it closes in the end. Put it behind what
// its handlers use: then it is drained before that, which finishes the requests under way
// and takes no more. Requests that have not ended in time are cut off. It is Failing: when
// srv cannot serve any more, Run ends with the reason. Connections that a handler has taken
// over (http.Hijacker) are the handler's; end them by srv.RegisterOnShutdown. One that is
// new and has asked nothing yet holds up the end for 5 s, or as long as there is.
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
	l       net.Listener
	srv     *http.Server
	started atomic.Bool
	served  chan error // what Serve returned, but for an end that was asked for; then it is closed
}

func (s *httpServer) describe() string {
	if s.l == nil {
		return "HTTP"
	}
	return "HTTP at " + s.l.Addr().String()
}

// Start returns when srv takes connections, or cannot.
func (s *httpServer) Start(context.Context) error {
	switch {
	case s.l == nil || s.srv == nil:
		return errors.New("the listener or the server is nil")
	case !s.started.CompareAndSwap(false, true):
		return errors.New("it serves once; give rocketkit.HTTP a new listener and server")
	}
	l := &accepting{Listener: s.l, begun: make(chan struct{})}
	early := make(chan error, 1)
	go func() {
		defer close(s.served)
		err := s.srv.Serve(l)
		if l.once.Do(func() { early <- err }); !errors.Is(err, http.ErrServerClosed) {
			s.served <- err
		}
	}()
	select {
	case <-l.begun:
		return nil
	case err := <-early:
		<-s.served // Start has told it
		if errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("the server was shut down before, and serves no more; give rocketkit.HTTP a new one: %w", err)
		}
		return err
	}
}

// accepting is a listener that says when it is first asked for a connection.
type accepting struct {
	net.Listener
	once  sync.Once // and Serve's end is no beginning
	begun chan struct{}
}

func (l *accepting) Accept() (net.Conn, error) {
	l.once.Do(func() { close(l.begun) })
	return l.Listener.Accept()
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
	if !s.started.Load() {
		if s.l != nil {
			return s.l.Close()
		}
		return nil
	}
	err := s.srv.Shutdown(ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), s.srv.Close())
	}
	return errors.Join(err, <-s.served) // nil when Failure has told it
}
