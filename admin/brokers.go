package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// Broker is one broker process.
type Broker struct {
	Cluster string
	Name    string // "" for one that is known by its address only
	ID      int64  // 0 is the master, others are its slaves
	Addr    string // host:port
}

// Master reports whether it is a master.
func (b Broker) Master() bool { return b.ID == protocol.MasterID }

func (b Broker) server() server { return server{b.Name, b.Addr} }

// Brokers returns all brokers, sorted by cluster, name and id.
func (c *Client) Brokers(ctx context.Context) ([]Broker, error) {
	const op = "list the brokers"
	resp, s, err := c.askNames(ctx, op, protocol.GetClusterInfo, nil)
	if err != nil {
		return nil, err
	}
	info, err := protocol.DecodeClusterInfo(resp.Body)
	if err != nil {
		return nil, unreadable(op, s, err)
	}
	var all []Broker
	for cluster, names := range info.Clusters {
		for _, name := range names {
			for id, addr := range info.BrokerAddrs[name].BrokerAddrs {
				all = append(all, Broker{Cluster: cluster, Name: name, ID: id, Addr: addr})
			}
		}
	}
	sortBrokers(all)
	return all, nil
}

func sortBrokers(bs []Broker) {
	slices.SortFunc(bs, func(a, b Broker) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}

// Target says which brokers a change is for: one broker by name or address, or the
// masters of a cluster. The zero value is the only cluster that there is.
type Target struct {
	Cluster string
	Broker  string // a name, or host:port
}

// Masters returns the brokers of a target that take changes: its masters, sorted by name.
func (c *Client) Masters(ctx context.Context, t Target) ([]Broker, error) {
	if strings.Contains(t.Broker, ":") {
		return []Broker{{Addr: t.Broker}}, nil
	}
	all, err := c.Brokers(ctx)
	if err != nil {
		return nil, err
	}
	clusters := map[string]bool{}
	for _, b := range all {
		clusters[b.Cluster] = true
	}
	names := slices.Sorted(maps.Keys(clusters))
	switch {
	case len(names) == 0:
		return nil, errors.New("the name servers know no broker; is one running, and does it register with them (namesrvAddr)?")
	case t.Cluster != "" && !clusters[t.Cluster]:
		return nil, fmt.Errorf("there is no cluster %q; there is %s", t.Cluster, strings.Join(names, ", "))
	case t.Cluster == "" && t.Broker == "" && len(names) > 1:
		return nil, fmt.Errorf("there are several clusters; choose one: %s", strings.Join(names, ", "))
	}
	var found []Broker
	for _, b := range all {
		if b.Master() && (t.Cluster == "" || b.Cluster == t.Cluster) && (t.Broker == "" || b.Name == t.Broker) {
			found = append(found, b)
		}
	}
	switch {
	case len(found) == 0 && t.Broker != "":
		return nil, fmt.Errorf("%w: there is no broker %q with a master", message.ErrUnreachable, t.Broker)
	case len(found) == 0:
		return nil, fmt.Errorf("%w: no broker of cluster %s has a master", message.ErrUnreachable, cmp.Or(t.Cluster, names[0]))
	}
	return found, nil
}

// each does something at every master of a target.
func (c *Client) each(ctx context.Context, t Target, f func(Broker) error) error {
	bs, err := c.Masters(ctx, t)
	if err != nil {
		return err
	}
	for _, b := range bs {
		if err := f(b); err != nil {
			return err
		}
	}
	return nil
}

// Reach connects to the first broker that can be connected to. The error joins a
// *message.AddrError for each.
func (c *Client) Reach(ctx context.Context, brokers []Broker) error {
	var failed []error
	for _, b := range brokers {
		_, err := c.connect(ctx, b.server())
		if err == nil {
			return nil
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Runtime is what a broker says of itself. Which figures there are depends on its
// version.
type Runtime struct {
	Version string // such as V5_4_0
	// Figures are all of them by RocketMQ's names, such as putTps, msgPutTotalTodayNow
	// and commitLogDiskRatio.
	Figures map[string]string
}

// Number is a figure as a number; of several, such as the put TPS of the last 10, 60
// and 600 s, the first. ok is false for one that is missing or is none.
func (r Runtime) Number(name string) (n float64, ok bool) {
	word, _, _ := strings.Cut(r.Figures[name], " ")
	n, err := strconv.ParseFloat(word, 64)
	return n, err == nil
}

// Runtime asks a broker how it is. Apache's brokers refuse in the first second after
// their start (SYSTEM_ERROR), when they have no figures yet.
func (c *Client) Runtime(ctx context.Context, b Broker) (Runtime, error) {
	op := "ask broker " + cmp.Or(b.Name, b.Addr) + " how it is"
	var t protocol.KVTable
	if err := c.askBody(ctx, b.server(), op, protocol.GetBrokerRuntimeInfo, nil, &t); err != nil {
		return Runtime{}, err
	}
	return Runtime{Version: t.Table["brokerVersionDesc"], Figures: t.Table}, nil
}

// BrokerConfig returns a broker's configuration by the keys of broker.conf.
func (c *Client) BrokerConfig(ctx context.Context, b Broker) (map[string]string, error) {
	op := "read the configuration of broker " + cmp.Or(b.Name, b.Addr)
	resp, err := c.ask(ctx, b.server(), op, protocol.GetBrokerConfig, nil)
	if err != nil {
		return nil, err
	}
	conf := map[string]string{}
	for line := range strings.Lines(string(resp.Body)) {
		line = strings.TrimSpace(line)
		if k, v, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			conf[k] = v
		}
	}
	return conf, nil
}

// SetBrokerConfig changes keys of broker.conf at a target, and keeps them there.
// Some take effect when the broker is started again.
func (c *Client) SetBrokerConfig(ctx context.Context, t Target, conf map[string]string) error {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(conf)) {
		if k == "" || strings.ContainsAny(k, "=\r\n") || strings.ContainsAny(conf[k], "\r\n") {
			return fmt.Errorf("configuration key %q with value %q: want a name and one line", k, conf[k])
		}
		fmt.Fprintf(&text, "%s=%s\n", k, conf[k])
	}
	if text.Len() == 0 {
		return errors.New("no configuration key is given")
	}
	return c.each(ctx, t, func(b Broker) error {
		_, err := c.ask(ctx, b.server(), "configure broker "+cmp.Or(b.Name, b.Addr), protocol.UpdateBrokerConfig, nil, []byte(text.String()))
		return err
	})
}
