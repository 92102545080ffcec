package admin

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// New makes a client of name servers, "host:port" each. A nil encryption is none, a
// nil signer signs nothing. Close ends it.
func New(nameServers []string, encryption *tls.Config, signer *protocol.Signer) *Client {
	o := remoting.ClientOptions{Options: remoting.Options{Signer: signer}, TLS: encryption}
	return &Client{names: nameServers, net: remoting.NewClient(o)}
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

// Broker is a broker to ask.
type Broker struct {
	Name string // "" for one that is known by its address only
	Addr string // host:port
}

// Masters returns the masters of the brokers, sorted by name.
func Masters(brokers []protocol.BrokerData) []Broker {
	var masters []Broker
	for _, b := range brokers {
		if addr := b.BrokerAddrs[protocol.MasterID]; addr != "" {
			masters = append(masters, Broker{b.BrokerName, addr})
		}
	}
	slices.SortFunc(masters, func(a, b Broker) int { return cmp.Compare(a.Name, b.Name) })
	return masters
}

// Reach connects to the first broker that can be connected to. The error joins a
// *message.AddrError for each.
func (c *Client) Reach(ctx context.Context, brokers []Broker) error {
	var failed []error
	for _, b := range brokers {
		_, err := c.connect(ctx, b)
		if err == nil {
			return nil
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// CreateTopic makes a topic on a broker, or changes it.
func (c *Client) CreateTopic(ctx context.Context, b Broker, t protocol.TopicConfig) error {
	h := protocol.CreateTopicRequest{
		Topic: t.TopicName, DefaultTopic: protocol.DefaultTopic,
		ReadQueueNums: t.ReadQueueNums, WriteQueueNums: t.WriteQueueNums, Perm: t.Perm,
		TopicFilterType: t.TopicFilterType, TopicSysFlag: t.TopicSysFlag, Order: t.Order,
	}
	_, err := c.ask(ctx, b, "create topic "+t.TopicName, protocol.UpdateAndCreateTopic, &h)
	return err
}

// TopicStatus returns what the queues of a topic hold, from all its brokers.
func (c *Client) TopicStatus(ctx context.Context, topic string) (*protocol.TopicStats, error) {
	route, err := c.Route(ctx, topic)
	if err != nil {
		return nil, err
	}
	all := &protocol.TopicStats{Offsets: make(map[protocol.MessageQueue]protocol.TopicOffset)}
	for _, b := range Masters(route.BrokerDatas) {
		op := "ask for the status of topic " + topic
		resp, err := c.ask(ctx, b, op, protocol.GetTopicStats, &protocol.TopicRequest{Topic: topic})
		if err != nil {
			return nil, err
		}
		stats, err := protocol.DecodeTopicStats(resp.Body)
		if err != nil {
			return nil, fmt.Errorf("%s: answer of %s: %w", op, b.Addr, err)
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
		resp, err := c.ask(ctx, Broker{Addr: addr}, op, code, h)
		var refused *message.BrokerError
		if err == nil || errors.As(err, &refused) {
			return resp, addr, err
		}
		failed = append(failed, err)
	}
	return nil, "", fmt.Errorf("%w: %w", message.ErrNoNameServer, errors.Join(failed...))
}

// connect returns a connection to a server. When there is none, the error for a
// broker that is known by name is a *message.AddrError: the name servers have its
// address, and it may be wrong for this network.
func (c *Client) connect(ctx context.Context, b Broker) (*remoting.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := c.net.Conn(ctx, b.Addr)
	if err != nil && b.Name != "" {
		err = &message.AddrError{Broker: b.Name, Addr: b.Addr, Err: err}
	}
	return conn, err
}

// ask makes one request. A response that is not a success is a
// *message.BrokerError.
func (c *Client) ask(ctx context.Context, b Broker, op string, code protocol.Code, h protocol.Header) (*protocol.Command, error) {
	conn, err := c.connect(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	cmd := protocol.Command{Codec: protocol.Binary, Code: code, Language: protocol.LanguageGo, Version: protocol.ClientVersion}
	resp, err := conn.Call(ctx, &cmd, h)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if resp.Code == protocol.Success {
		return resp, nil
	}
	refused := &message.BrokerError{Code: int(resp.Code), Name: protocol.ResponseName(resp.Code), Remark: strings.TrimSpace(resp.Remark), Broker: b.Name, Addr: b.Addr, Op: op}
	if resp.Code == protocol.CodeNotSupported {
		refused.Remedy = "is it a broker's address where a name server's belongs (9876 by default), or the other way round (10911)?"
	}
	return nil, refused
}
