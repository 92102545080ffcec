package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

const (
	defaultPeriod  = 30 * time.Second // registerNameServerPeriod
	defaultTimeout = 24 * time.Second // registerBrokerTimeoutMills
	// unregisterTimeout bounds each 104, as in BrokerOuterAPI.
	unregisterTimeout = 3 * time.Second
	// minPause keeps attempts apart that no topic change asks for. It doubles
	// with each failure up to the period.
	minPause = time.Second
)

// ErrNotRegistered: no name server has the broker's topics.
var ErrNotRegistered = errors.New("not registered with any name server")

// Options configure a Registrar.
type Options struct {
	Client      *remoting.Client // the caller's, to close after Stop
	NameServers []string         // host:port each
	Logger      *slog.Logger     // nil discards

	ClusterName string
	BrokerName  string
	BrokerID    int64
	Addr        string // host:port that clients dial
	// Permission returns brokerPermission: what it lacks of read (4) and write (2) is
	// taken from every topic. 0 means 6.
	Permission func() int32
	// Topics returns what to register. It is called before each registration.
	Topics func() protocol.TopicConfigTable
	// ChangedSince returns the topics that have changed after that data version, with
	// those named besides, or false: a name server that has the rest gets only these,
	// as from Apache (registerIncrementBrokerData). nil: it gets all each time.
	ChangedSince func(v protocol.DataVersion, besides []string) (protocol.TopicConfigTable, bool)
	// OnOrderTopics is told the topics that a name server calls ordered, at each
	// registration; nil is not. It must not block.
	OnOrderTopics func(topics []string)

	Period  time.Duration // 0: 30 s
	Timeout time.Duration // of one registration; 0: 24 s
}

// Registrar keeps one broker registered. Start makes one.
type Registrar struct {
	o       Options
	servers []*server
	cancel  context.CancelFunc
	running sync.WaitGroup
	stop    sync.Once

	first      sync.Once // closes registered
	registered chan struct{}
}

// Start begins to register. It does not wait for a name server.
func Start(o Options) *Registrar {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Period <= 0 {
		o.Period = defaultPeriod
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Permission == nil {
		o.Permission = func() int32 { return protocol.PermRead | protocol.PermWrite }
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Registrar{o: o, cancel: cancel, registered: make(chan struct{})}
	for _, addr := range o.NameServers {
		s := &server{r: r, addr: addr, wake: make(chan struct{}, 1), ended: make(chan struct{})}
		r.servers = append(r.servers, s)
		r.running.Go(func() { s.run(ctx) })
	}
	return r
}

// TopicsChanged has the topics registered at once. Calls that come while a
// registration is under way are one. It does not block.
func (r *Registrar) TopicsChanged() {
	for _, s := range r.servers {
		s.want(nil)
	}
}

// Announce is TopicsChanged that waits until every name server that can be
// reached has the topics as they are now: an answer that a topic was made must
// not come before its route. ctx bounds the wait for a name server that has
// become slow. It fails, with ErrNotRegistered, only when no name server has
// taken them. The topics named are sent even when they have not changed: a name
// server may have lost one.
func (r *Registrar) Announce(ctx context.Context, topics ...string) error {
	targets := make([]uint64, len(r.servers))
	for i, s := range r.servers {
		targets[i] = s.want(topics)
	}
	var errs []error
	for i, s := range r.servers {
		if err := s.await(ctx, targets[i]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) < len(r.servers) || len(r.servers) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotRegistered, errors.Join(errs...))
}

// WaitRegistered waits until the first name server knows the broker. Without
// name servers there is nothing to wait for.
func (r *Registrar) WaitRegistered(ctx context.Context) error {
	if len(r.servers) == 0 {
		return nil
	}
	select {
	case <-r.registered:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotRegistered, context.Cause(ctx))
	}
}

// Registered reports whether a name server has taken the broker at the last attempt,
// or there is none.
func (r *Registrar) Registered() bool {
	for _, s := range r.servers {
		s.mu.Lock()
		known := s.known
		s.mu.Unlock()
		if known {
			return true
		}
	}
	return len(r.servers) == 0
}

// Stop ends the goroutines and takes the broker out of the name servers that
// know it. ctx bounds the latter; name servers that do not answer forget the
// broker by themselves. More calls do nothing.
func (r *Registrar) Stop(ctx context.Context) error {
	var err error
	r.stop.Do(func() {
		r.cancel()
		r.running.Wait()
		errs := make([]error, len(r.servers))
		var wg sync.WaitGroup
		for i, s := range r.servers {
			wg.Go(func() { errs[i] = s.unregister(ctx) })
		}
		wg.Wait()
		err = errors.Join(errs...)
	})
	return err
}

// body renders what is registered.
func (r *Registrar) body(topics protocol.TopicConfigTable) ([]byte, error) {
	b := protocol.RegisterBrokerBody{Topics: topics}
	const all = protocol.PermRead | protocol.PermWrite
	if perm := r.o.Permission(); perm&all != all {
		masked := make(map[string]protocol.TopicConfig, len(b.Topics.Configs))
		for name, c := range b.Topics.Configs {
			c.Perm &= perm
			masked[name] = c
		}
		b.Topics.Configs = masked
	}
	return protocol.EncodeRegisterBrokerBody(&b, false, protocol.ServerVersion)
}
