package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// requestTimeout bounds each request, as in Apache's tools (5 s).
const requestTimeout = 5 * time.Second

// Client asks one cluster. Its methods may be called concurrently.
type Client struct {
	names []string
	net   *remoting.Client
}

// New makes a client of name servers, "host:port" each. Close ends it.
func New(nameServers []string) *Client {
	return &Client{names: nameServers, net: remoting.NewClient(remoting.ClientOptions{})}
}

// Close ends the connections.
func (c *Client) Close(ctx context.Context) error { return c.net.Close(ctx) }

// Topics returns the names of all topics, sorted.
func (c *Client) Topics(ctx context.Context) ([]string, error) {
	var list protocol.TopicList
	resp, addr, err := c.askName(ctx, "list the topics", protocol.GetTopicList, nil)
	if err != nil {
		return nil, err
	}
	if err := protocol.DecodeBody(resp.Body, &list); err != nil {
		return nil, fmt.Errorf("list the topics: answer of name server %s: %w", addr, err)
	}
	slices.Sort(list.Topics)
	return list.Topics, nil
}

// Clusters returns the brokers and their clusters.
func (c *Client) Clusters(ctx context.Context) (*protocol.ClusterInfo, error) {
	resp, addr, err := c.askName(ctx, "list the clusters", protocol.GetClusterInfo, nil)
	if err != nil {
		return nil, err
	}
	info, err := protocol.DecodeClusterInfo(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("list the clusters: answer of name server %s: %w", addr, err)
	}
	return info, nil
}

// Route returns where a topic's queues are. The error for a topic that does not
// exist is a *message.RouteError with message.ErrNoRoute.
func (c *Client) Route(ctx context.Context, topic string) (*protocol.TopicRoute, error) {
	op := "look up the route of topic " + topic
	h := protocol.RouteRequest{Topic: topic, AcceptStandardJSONOnly: protocol.SomeBool(true)}
	resp, addr, err := c.askName(ctx, op, protocol.GetRouteInfo, &h)
	var refused *message.BrokerError
	if errors.As(err, &refused) && refused.Code == int(protocol.TopicNotExist) {
		return nil, &message.RouteError{Topic: topic, NameServers: c.names, Err: message.ErrNoRoute}
	}
	if err != nil {
		return nil, err
	}
	route, err := protocol.DecodeTopicRoute(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: answer of name server %s: %w", op, addr, err)
	}
	return route, nil
}

// Masters returns the addresses of the brokers' masters, sorted by the brokers'
// names.
func Masters(brokers []protocol.BrokerData) []string {
	brokers = slices.SortedFunc(slices.Values(brokers), func(a, b protocol.BrokerData) int { return cmp.Compare(a.BrokerName, b.BrokerName) })
	var addrs []string
	for _, b := range brokers {
		if addr := b.BrokerAddrs[protocol.MasterID]; addr != "" {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// CreateTopic makes a topic on the broker at addr, or changes it.
func (c *Client) CreateTopic(ctx context.Context, addr string, t protocol.TopicConfig) error {
	h := protocol.CreateTopicRequest{
		Topic: t.TopicName, DefaultTopic: protocol.DefaultTopic,
		ReadQueueNums: t.ReadQueueNums, WriteQueueNums: t.WriteQueueNums, Perm: t.Perm,
		TopicFilterType: t.TopicFilterType, TopicSysFlag: t.TopicSysFlag, Order: t.Order,
	}
	_, err := c.ask(ctx, addr, "create topic "+t.TopicName, protocol.UpdateAndCreateTopic, &h)
	return err
}

// TopicStatus returns what the queues of a topic hold, from all its brokers.
func (c *Client) TopicStatus(ctx context.Context, topic string) (*protocol.TopicStats, error) {
	route, err := c.Route(ctx, topic)
	if err != nil {
		return nil, err
	}
	all := &protocol.TopicStats{Offsets: make(map[protocol.MessageQueue]protocol.TopicOffset)}
	for _, addr := range Masters(route.BrokerDatas) {
		op := "ask for the status of topic " + topic
		resp, err := c.ask(ctx, addr, op, protocol.GetTopicStats, &protocol.TopicRequest{Topic: topic})
		if err != nil {
			return nil, err
		}
		stats, err := protocol.DecodeTopicStats(resp.Body)
		if err != nil {
			return nil, fmt.Errorf("%s: answer of %s: %w", op, addr, err)
		}
		for q, o := range stats.Offsets {
			all.Offsets[q] = o
		}
		all.PutTPS += stats.PutTPS
	}
	return all, nil
}

// askName asks one name server after the other until one answers. When none does
// the error is a message.ErrNoNameServer.
func (c *Client) askName(ctx context.Context, op string, code protocol.Code, h protocol.Header) (*protocol.Command, string, error) {
	var failed []error
	for _, addr := range c.names {
		resp, err := c.ask(ctx, addr, op, code, h)
		var refused *message.BrokerError
		if err == nil || errors.As(err, &refused) {
			return resp, addr, err
		}
		failed = append(failed, err)
	}
	return nil, "", fmt.Errorf("%w: %w", message.ErrNoNameServer, errors.Join(failed...))
}

// ask makes one request. A response that is not a success is a
// *message.BrokerError.
func (c *Client) ask(ctx context.Context, addr, op string, code protocol.Code, h protocol.Header) (*protocol.Command, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := c.net.Conn(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	cmd := protocol.Command{Codec: protocol.Binary, Code: code, Language: protocol.LanguageGo, Version: protocol.ClientVersion}
	resp, err := conn.Call(ctx, &cmd, h)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if resp.Code != protocol.Success {
		return nil, &message.BrokerError{Code: int(resp.Code), Name: protocol.ResponseName(resp.Code), Remark: resp.Remark, Addr: addr, Op: op}
	}
	return resp, nil
}
