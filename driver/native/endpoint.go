package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// An entry of the configured name servers may be the URL of an endpoint that answers
// with their addresses, "host:port;host:port", as Java's clients ask
// http://<rocketmq.namesrv.domain>:8080/rocketmq/nsaddr.

// isEndpoint reports that an entry is no address.
func isEndpoint(entry string) bool {
	return strings.HasPrefix(entry, "http://") || strings.HasPrefix(entry, "https://")
}

const (
	endpointPeriod  = 2 * time.Minute // MQClientInstance.fetchNameServerAddr
	endpointPause   = time.Second     // after a failure, then longer
	endpointPauses  = 30 * time.Second
	endpointTimeout = 3 * time.Second
	maxEndpointBody = 64 << 10
)

// directory keeps the addresses of the name servers. Its goroutine, which there is only
// with endpoints, is the one that changes them.
type directory struct {
	c         *client
	fixed     []string // configured as addresses
	endpoints []string
	found     atomic.Pointer[[]string] // fixed, and what the endpoints answered last
	tried     chan struct{}            // closed when every endpoint was asked once; err is there then
	err       atomic.Pointer[error]    // of the last round, nil when an endpoint answered
	http      *http.Client
}

func newDirectory(c *client, entries []string) *directory {
	d := &directory{c: c, tried: make(chan struct{})}
	for _, e := range entries {
		if isEndpoint(e) {
			d.endpoints = append(d.endpoints, e)
		} else {
			d.fixed = append(d.fixed, e)
		}
	}
	d.found.Store(&d.fixed)
	if len(d.endpoints) == 0 {
		close(d.tried)
		return d
	}
	dial := c.cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	d.http = &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: c.cfg.TLS.Clone(), DisableKeepAlives: true}}
	return d
}

// addrs are the name servers as they are known now. It waits for the endpoints' first
// answer when no address is configured.
func (d *directory) addrs(ctx context.Context) ([]string, error) {
	if addrs := *d.found.Load(); len(addrs) > 0 {
		return addrs, nil
	}
	select {
	case <-d.tried:
	case <-d.c.ctx.Done():
		return nil, message.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if addrs := *d.found.Load(); len(addrs) > 0 {
		return addrs, nil
	}
	why := errors.New("no endpoint was asked yet")
	if err := d.err.Load(); err != nil {
		why = *err
	}
	return nil, fmt.Errorf("%w: %w", message.ErrNoNameServer, why)
}

// loop asks the endpoints until the client is closed.
func (d *directory) loop() {
	pause := endpointPause
	for first := true; ; first = false {
		wait := endpointPeriod
		if err := d.refresh(d.c.ctx); err != nil {
			wait, pause = pause, min(2*pause, endpointPauses)
			d.c.log.Warn("could not ask for the name servers' addresses; those known stay in use", "endpoints", d.endpoints, "again in", wait, "error", err)
		} else {
			pause = endpointPause
		}
		if first {
			close(d.tried)
		}
		select {
		case <-time.After(wait):
		case <-d.c.ctx.Done():
			return
		}
	}
}

// refresh asks all endpoints. One answer is enough.
func (d *directory) refresh(ctx context.Context) error {
	addrs := slices.Clone(d.fixed)
	var errs []error
	for _, url := range d.endpoints {
		answered, err := d.ask(ctx, url)
		if err != nil {
			errs = append(errs, fmt.Errorf("endpoint %s: %w", url, err))
			continue
		}
		for _, a := range answered {
			if !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
	}
	if len(errs) == len(d.endpoints) {
		err := errors.Join(errs...)
		d.err.Store(&err)
		return err
	}
	if old := *d.found.Load(); !slices.Equal(old, addrs) {
		d.c.log.Info("name servers", "addresses", addrs, "before", old)
		d.found.Store(&addrs)
	}
	return nil
}

func (d *directory) ask(ctx context.Context, url string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, endpointTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxEndpointBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxEndpointBody { // the last address would be cut short
		return nil, fmt.Errorf("it answers more than %d bytes", maxEndpointBody)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	var addrs []string
	for a := range strings.SplitSeq(string(body), ";") {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a); err != nil {
			return nil, fmt.Errorf("it answers %.100q, which is not host:port;host:port", body)
		}
		addrs = append(addrs, a)
	}
	if len(addrs) == 0 {
		return nil, errors.New("it answers no address")
	}
	return addrs, nil
}
