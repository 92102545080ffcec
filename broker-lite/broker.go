package brokerlite

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// NameServer is the name server's address, host:port, as this machine reaches it;
// "" when it does not run one.
func (b *Broker) NameServer() string { return b.nameAddr }

// Addr is the address, host:port, that the broker tells clients to dial; "" when
// only a name server runs.
func (b *Broker) Addr() string { return b.addr }

// Name is the broker's name.
func (b *Broker) Name() string { return b.plan.config.BrokerName }

// Cluster is the name of the broker's cluster.
func (b *Broker) Cluster() string { return b.plan.config.ClusterName }

// Topics are the names of the topics that the broker has, RocketMQ's own among them, sorted. The
// name servers learn of a topic that a send has made a moment later.
func (b *Broker) Topics() []string {
	if b.broker == nil { // only a name server runs
		return nil
	}
	return b.broker.Topics()
}

// NameServers are the name servers that the broker registers with.
func (b *Broker) NameServers() []string {
	return append([]string(nil), b.plan.config.NameServers...)
}

// Dial connects to the server over the network that it serves: the virtual one, or
// the machine's. It has the shape of net.Dialer.DialContext, for the Dial of a
// client's configuration.
func (b *Broker) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return b.dial(ctx, network, addr)
}

// Close stops the server: it leaves the name servers, answers what it has taken,
// closes the connections, and makes everything durable. ctx bounds the waiting for
// others. Calls after the first return what that returned.
func (b *Broker) Close(ctx context.Context) error {
	b.close.Do(func() { b.closeErr = b.shutdown(ctx) })
	return b.closeErr
}

func (b *Broker) shutdown(ctx context.Context) error {
	var errs []error
	wasRunning := b.phase.CompareAndSwap(int32(running), int32(draining))
	b.faults.close()
	if b.broker != nil {
		errs = append(errs, b.broker.Drain(ctx))
	}
	errs = append(errs, b.server.shutdown(ctx))
	if wasRunning {
		b.at(ended)
	}
	errs = append(errs, b.http.shutdown(ctx))
	if b.broker != nil {
		errs = append(errs, b.broker.Close(ctx))
	}
	if b.client != nil {
		errs = append(errs, b.client.Close(ctx))
	}
	errs = append(errs, b.nameServer.shutdown(ctx))
	if b.names != nil {
		b.names.Close()
	}
	if b.tmp != "" {
		errs = append(errs, os.RemoveAll(b.tmp))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing broker-lite: %w", err)
	}
	return nil
}

// shutdown ends a server, one that does not accept yet too.
func (s *server) shutdown(ctx context.Context) error {
	switch {
	case s == nil:
		return nil
	case s.Server == nil:
		return s.l.Close()
	}
	err := s.Shutdown(ctx)
	return errors.Join(err, <-s.served)
}
