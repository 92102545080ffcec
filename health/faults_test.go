package health_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/health"
)

// Probes come at any time: before the start, while everything ends, and after that.
func TestProbesAreAnsweredFromStartToEnd(t *testing.T) {
	in(t, done, func(t *testing.T, w *world) {
		over := make(chan struct{})
		var probing sync.WaitGroup
		for range 3 {
			probing.Go(func() {
				for {
					for _, h := range []http.Handler{w.checks.Live(), w.checks.Ready()} {
						h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
					}
					select {
					case <-over:
						return
					case <-time.After(50 * time.Millisecond):
					}
				}
			})
		}
		w.start()
		w.must(w.consumer.Stop(context.Background()))
		w.want(true, false, "consumer pay: not ready; it is ended")
		w.must(w.client.Close())
		<-time.After(time.Second)
		close(over)
		probing.Wait()
		w.want(true, false, "client: not ready; it is closing")
	})
}

func TestNoClientIsNotReady(t *testing.T) {
	t.Parallel()
	for _, r := range []health.Report{health.New(nil).Report(), health.New().Report()} {
		if !r.Live || r.Ready || len(r.Components) != 1 || r.Components[0].Problem == "" {
			t.Errorf("%s", r)
		}
	}
}
