package rocketkit

import (
	"fmt"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// NewFetcher makes a member of a group that fetches messages when it wants some.
// Start lets it receive; it ends with the client, or earlier with its own Drain or
// Stop. What is configured for the group is the default of opts.
func (c *Client) NewFetcher(group string, subs []consumer.Subscription, opts ...consumer.GroupOption) (*consumer.Fetcher, error) {
	return adopt(c, func(cfg *Config) (*consumer.Fetcher, error) {
		return consumer.NewFetcher(c.driver, group, subs, append(c.consumerOptions(cfg, group), opts...)...)
	}, nil)
}

// NewPuller makes a reader of one topic's queues, from where the program tells it to.
// It needs no end of its own. What is configured for the group is the default of opts.
func (c *Client) NewPuller(group string, sub consumer.Subscription, opts ...consumer.GroupOption) (*consumer.Puller, error) {
	cfg, err := c.open()
	if err != nil {
		return nil, err
	}
	p, err := consumer.NewPuller(c.driver, group, sub, append(c.consumerOptions(cfg, group), opts...)...)
	if err == nil {
		remember(c, p, func(p *consumer.Puller, s *State) { s.Pullers = append(s.Pullers, p.State()) })
	}
	return p, err
}

// NewSimpleConsumer makes a consumer that receives messages one request at a time,
// from brokers of 5.0 and later. It needs no end of its own. What is configured for
// the group is the default of opts.
func (c *Client) NewSimpleConsumer(group string, subs []consumer.Subscription, opts ...consumer.GroupOption) (*consumer.SimpleConsumer, error) {
	cfg, err := c.open()
	if err != nil {
		return nil, err
	}
	s, err := consumer.NewSimpleConsumer(c.driver, group, subs, append(c.consumerOptions(cfg, group), opts...)...)
	if err == nil {
		remember(c, s, func(m *consumer.SimpleConsumer, s *State) { s.SimpleConsumers = append(s.SimpleConsumers, m.State()) })
	}
	return s, err
}

// open is the configuration as it is now, and message.ErrClosed when the client is not
// open.
func (c *Client) open() (*Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil, fmt.Errorf("client: %w", message.ErrClosed)
	}
	return c.now, nil
}
