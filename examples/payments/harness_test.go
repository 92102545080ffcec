package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

// runVariable makes the test binary be the program.
const runVariable = "PAYMENTS_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// patient bounds every wait for something that takes an instant.
const patient = 30 * time.Second

// book collects what is written to it.
type book struct {
	mu      sync.Mutex // guards the following
	text    strings.Builder
	changed chan struct{} // closed and replaced at each change
}

func newBook() *book { return &book{changed: make(chan struct{})} }

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p)
	close(b.changed)
	b.changed = make(chan struct{})
	return len(p), nil
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// await waits for a text and returns what stands in the expression's parentheses.
func (b *book) await(t *testing.T, expression string) []string {
	t.Helper()
	found := b.within(t, expression, patient)
	if found == nil {
		t.Fatalf("%q was not written:\n%s", expression, b)
	}
	return found
}

// within is await for some time; then it returns nil.
func (b *book) within(t *testing.T, expression string, limit time.Duration) []string {
	re := regexp.MustCompile(expression)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		b.mu.Lock()
		found, changed := re.FindStringSubmatch(b.text.String()), b.changed
		b.mu.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// advance moves the clock until a text is written. Once may not be enough: what is
// to be delivered has to reach the server before.
func (b *book) advance(t *testing.T, clock *brokerlite.ManualClock, step time.Duration, expression string) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < patient; {
		clock.Advance(step)
		if b.within(t, expression, 100*time.Millisecond) != nil {
			return
		}
	}
	t.Fatalf("%q was not written:\n%s", expression, b)
}

// running is the real service in this process, over real HTTP.
type running struct {
	t        *testing.T
	settings settings
	url      string
	out, log *book
	stop     context.CancelFunc
	ended    chan error
}

// settingsFor reads flags as the program does, without the environment. The
// database is in dir.
func settingsFor(t *testing.T, dir string, args ...string) settings {
	t.Helper()
	s, err := readSettings(append([]string{"--addr", "127.0.0.1:0", "--db", filepath.Join(dir, "payments.db")}, args...), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start serves until the test ends.
func start(t *testing.T, s settings) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{t: t, settings: s, out: newBook(), log: newBook(), stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- serve(ctx, s, r.out, io.MultiWriter(r.log, t.Output())) }()
	t.Cleanup(r.end)
	select {
	case err := <-r.ended:
		r.ended <- err
		t.Fatalf("it ended: %v", err)
	case <-r.listening():
	}
	r.url = r.out.await(t, `listen on (http://\S+)`)[1]
	return r
}

// listening is closed when something was printed.
func (r *running) listening() <-chan struct{} {
	r.out.mu.Lock()
	defer r.out.mu.Unlock()
	if r.out.text.Len() == 0 {
		return r.out.changed
	}
	open := make(chan struct{})
	close(open)
	return open
}

// end ends the service as Ctrl-C does, and checks that it ends well and soon.
func (r *running) end() {
	r.t.Helper()
	begun := time.Now()
	r.stop()
	select {
	case err := <-r.ended:
		r.ended <- err
		if took := time.Since(begun); err != nil || took > 5*time.Second {
			r.t.Errorf("ended after %v: %v", took, err)
		}
	case <-time.After(patient):
		r.t.Fatal("it does not end")
	}
}

// failsToStart serves what must not start, and returns why.
func failsToStart(t *testing.T, s settings) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	err := serve(ctx, s, io.Discard, t.Output())
	if err == nil {
		t.Fatal("it started")
	}
	return err.Error()
}

// request makes a request and reads its answer.
func (r *running) request(method, path, contentType, body string) (status int, header http.Header, answer string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patient)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// get makes a GET request that must succeed, and decodes its answer.
func get[T any](r *running, path string) T {
	r.t.Helper()
	status, header, body := r.request(http.MethodGet, path, "", "")
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != http.StatusOK || header.Get("Content-Type") != "application/json" {
		r.t.Fatalf("%s answers %d %s %q: %v", path, status, header.Get("Content-Type"), body, err)
	}
	return v
}

// order makes an order and returns its id.
func (r *running) order() string {
	r.t.Helper()
	status, header, body := r.request(http.MethodPost, "/api/orders", "", "")
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != http.StatusCreated || v.ID == "" || header.Get("Location") != "/api/orders/"+v.ID {
		r.t.Fatalf("an order answers %d %q: %v", status, body, err)
	}
	return v.ID
}

// is fails unless an order has a status.
func (r *running) is(id, status string) {
	r.t.Helper()
	if o := get[order](r, "/api/orders/"+id); o.Status != status || o.ID != id {
		r.t.Errorf("%+v, want it %s", o, status)
	}
}

// withClock lets RocketMQ in the process go by a clock of the test.
func withClock(s settings) (settings, *brokerlite.ManualClock) {
	clock := brokerlite.NewManualClock(time.Now())
	s.server = append(s.server, brokerlite.WithClock(clock))
	return s, clock
}
