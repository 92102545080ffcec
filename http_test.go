package rocketkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
)

// serving runs an HTTP server of h with what else is given before it.
func serving(t *testing.T, limit time.Duration, h http.HandlerFunc, before ...rocketkit.Runner) (l net.Listener, end func() error) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- rocketkit.Run(ctx, append(before, rocketkit.Within(limit, rocketkit.HTTP(l, &http.Server{Handler: h, ReadHeaderTimeout: time.Minute})))...)
	}()
	return l, func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			return errors.New("it does not end")
		}
	}
}

// get answers the body, or why there is none.
func get(ctx context.Context, l net.Listener) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String(), nil)
	if err != nil {
		return err.Error()
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestHTTPFinishesItsRequestsBeforeWhatTheyUseEnds(t *testing.T) {
	t.Parallel()
	var notes []string
	arrived, finish := make(chan struct{}), make(chan struct{})
	l, end := serving(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		notes = append(notes, "answered") // before Run drains what is before HTTP
		_, _ = io.WriteString(w, "hello")
	}, &part{name: "a", notes: &notes})
	answer := make(chan string)
	go func() { answer <- get(t.Context(), l) }()
	<-arrived
	ended := make(chan error)
	go func() { ended <- end() }()
	for { // until no more is taken
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	close(finish)
	if got := <-answer; got != "hello" {
		t.Errorf("the request under way was answered with %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := strings.Join(notes, ", "); got != "start a, answered, drain a" {
		t.Error(got)
	}
}

func TestHTTPCutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	l, end := serving(t, 10*time.Millisecond, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	answer := make(chan string)
	go func() { answer <- get(t.Context(), l) }()
	<-arrived
	if err := end(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "(HTTP at "+l.Addr().String()+") did not end well: requests were cut off") {
		t.Errorf("error %v", err)
	}
	if got := <-answer; !strings.Contains(got, "EOF") {
		t.Errorf("the request was answered with %q", got)
	}
}

// failingListener fails at the first Accept.
type failingListener struct {
	net.Listener
	err error
}

func (l failingListener) Accept() (net.Conn, error) { return nil, l.err }

func TestAnHTTPServerThatFailsEndsTheProgram(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	boom := errors.New("boom")
	err = rocketkit.Run(t.Context(), &part{name: "a", notes: &notes}, rocketkit.HTTP(failingListener{l, boom}, new(http.Server)))
	if want := fmt.Sprintf("run: runner 2 (HTTP at %s) failed: boom", l.Addr()); !errors.Is(err, boom) || err.Error() != want {
		t.Errorf("error %v, want %s once", err, want)
	}
	if got := strings.Join(notes, ", "); got != "start a, drain a" {
		t.Error(got)
	}
}

// An application may end its server by itself; that is no failure.
func TestAnHTTPServerThatWasShutDownEndsNothing(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := new(http.Server)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	shut := rocketkit.OnStart(func(ctx context.Context) error { return srv.Shutdown(ctx) })
	if err := rocketkit.Run(ctx, rocketkit.HTTP(l, srv), shut); err != nil || time.Since(begun) < 50*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}
