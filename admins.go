package rocketkit

import (
	"context"
	"fmt"
	"sync"

	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Admin is for asking the cluster about its topics, groups, offsets, messages and
// brokers, and for changing them. It has connections of its own, to the same
// servers with the same credentials, TLS and Dial, whatever the driver is; all
// callers share them, and they end with the client. Names are those of the wire: in a
// namespace they are what message.WithNamespace makes of them.
func (c *Client) Admin() (*admin.Client, error) {
	if _, err := c.open(); err != nil {
		return nil, err
	}
	return c.admins.get()
}

// admins keeps the one admin client, made when it is first asked for.
type admins struct {
	cfg    driver.Config
	driver driver.Driver

	mu     sync.Mutex // guards the following
	client *admin.Client
	closed bool
}

func (a *admins) get() (*admin.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, fmt.Errorf("client: %w", message.ErrClosed)
	}
	if a.client != nil {
		return a.client, nil
	}
	cfg := admin.Config{
		NameServers: a.cfg.NameServers, TLS: a.cfg.TLS, Dial: a.cfg.Dial,
		Credentials: admin.Credentials(a.cfg.Credentials),
	}
	if d, ok := a.driver.(driver.Directory); ok {
		cfg.Lookup = d.NameServers
	}
	made, err := admin.New(cfg)
	if err != nil {
		return nil, err
	}
	a.client = made
	return made, nil
}

func (a *admins) close(ctx context.Context) error {
	a.mu.Lock()
	made := a.client
	a.closed, a.client = true, nil
	a.mu.Unlock()
	if made == nil {
		return nil
	}
	if err := made.Close(ctx); err != nil {
		return fmt.Errorf("close the admin client: %w", err)
	}
	return nil
}
