package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

func newTopic() *cobra.Command {
	conn := new(connection)
	cmd := &cobra.Command{
		Use:   "topic",
		Short: "Make topics and look at them",
		Example: `  rocketkit topic create orders
  rocketkit topic status orders`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	conn.addTo(cmd)
	cmd.AddCommand(newTopicCreate(conn), newTopicList(conn), newTopicRoute(conn), newTopicStatus(conn))
	return cmd
}

// topicFlags are what "rocketkit topic create" was told, in mqadmin's terms.
type topicFlags struct {
	topic, cluster, broker string
	read, write            int
	perm                   int32
}

func newTopicCreate(conn *connection) *cobra.Command {
	var f topicFlags
	cmd := &cobra.Command{
		Use:   "create <topic>",
		Short: "Make a topic, or change it, as mqadmin updateTopic does",
		Long: `Make a topic, or change it, on the brokers of a cluster or on one broker. Without -c
or -b it is the only cluster that the name servers know.`,
		Example: `  rocketkit topic create orders
  rocketkit topic create orders -c DefaultCluster -r 4 -w 4`,
		Args: upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, err := topicOf(cmd, args, f.topic)
			if err != nil {
				return err
			}
			f.topic = topic
			if err := f.validate(); err != nil {
				return usageError(cmd, err)
			}
			return conn.administer(cmd, func(ctx context.Context, a *admin.Client) error {
				return createTopic(ctx, a, &f, cmd.OutOrStdout())
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.topic, "topic", "t", "", "the topic")
	flags.StringVarP(&f.cluster, "cluster", "c", "", "the cluster whose brokers get the topic")
	flags.StringVarP(&f.broker, "broker", "b", "", "the address of the one broker that gets it, host:port")
	flags.IntVarP(&f.read, "read-queues", "r", 8, "queues that can be read")
	flags.IntVarP(&f.write, "write-queues", "w", 8, "queues that can be written to")
	flags.Int32VarP(&f.perm, "perm", "p", 6, "permissions: 2 write, 4 read, 6 both")
	return cmd
}

func (f *topicFlags) validate() error {
	const most = 65536
	switch {
	case f.cluster != "" && f.broker != "":
		return errors.New("-c and -b are given: want one of them")
	case f.broker != "" && !isAddress(f.broker):
		return fmt.Errorf("--broker %q: want host:port, such as 127.0.0.1:10911", f.broker)
	case f.perm != 2 && f.perm != 4 && f.perm != 6:
		return fmt.Errorf("--perm %d: want 2 (write), 4 (read) or 6 (both)", f.perm)
	case f.read < 1 || f.read > most:
		return fmt.Errorf("--read-queues %d: want 1 to %d", f.read, most)
	case f.write < 1 || f.write > most:
		return fmt.Errorf("--write-queues %d: want 1 to %d", f.write, most)
	}
	return nil
}

func createTopic(ctx context.Context, a *admin.Client, f *topicFlags, out io.Writer) error {
	at := admin.Target{Cluster: f.cluster, Broker: f.broker}
	t := admin.Topic{Name: f.topic, ReadQueues: f.read, WriteQueues: f.write, Perm: admin.Perm(f.perm)}
	if err := a.CreateTopic(ctx, t, at); err != nil {
		return err
	}
	brokers, err := a.Masters(ctx, at)
	if err != nil {
		return err
	}
	for _, b := range brokers {
		fmt.Fprintf(out, "create topic to %s success.\n", b.Addr)
	}
	_, err = fmt.Fprintf(out, "TopicConfig [topicName=%s, readQueueNums=%d, writeQueueNums=%d, perm=%s, topicFilterType=%s, topicSysFlag=0, order=%t, attributes={}]\n",
		t.Name, t.ReadQueues, t.WriteQueues, t.Perm, protocol.SingleTag, t.Order)
	return err
}

func newTopicList(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all topics, as mqadmin topicList does",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return conn.administer(cmd, func(ctx context.Context, a *admin.Client) error {
				topics, err := a.Topics(ctx)
				if err != nil {
					return err
				}
				for _, t := range topics {
					fmt.Fprintln(cmd.OutOrStdout(), t)
				}
				return nil
			})
		},
	}
}

// forTopic is a command about one topic.
func forTopic(conn *connection, use, short string, run func(ctx context.Context, a *admin.Client, topic string, out io.Writer) error) *cobra.Command {
	var flag string
	cmd := &cobra.Command{
		Use:   use + " <topic>",
		Short: short,
		Args:  upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, err := topicOf(cmd, args, flag)
			if err != nil {
				return err
			}
			return conn.administer(cmd, func(ctx context.Context, a *admin.Client) error {
				return run(ctx, a, topic, cmd.OutOrStdout())
			})
		},
	}
	cmd.Flags().StringVarP(&flag, "topic", "t", "", "the topic")
	return cmd
}

func newTopicRoute(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := forTopic(conn, "route", "Show where a topic's queues are, as mqadmin topicRoute does", func(ctx context.Context, a *admin.Client, topic string, out io.Writer) error {
		route, err := a.Route(ctx, topic)
		switch {
		case err != nil:
			return err
		case asJSON:
			return printRouteJSON(out, route)
		}
		return printRoute(out, route)
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the route as JSON")
	return cmd
}

func printRouteJSON(out io.Writer, brokers []admin.TopicBroker) error {
	var route protocol.TopicRoute
	for _, b := range brokers {
		route.BrokerDatas = append(route.BrokerDatas, protocol.BrokerData{Cluster: b.Cluster, BrokerName: b.Name, BrokerAddrs: b.Addrs})
		route.QueueDatas = append(route.QueueDatas, protocol.QueueData{BrokerName: b.Name, ReadQueueNums: int32(b.ReadQueues), WriteQueueNums: int32(b.WriteQueues), Perm: int32(b.Perm)})
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(json.RawMessage(protocol.EncodeTopicRoute(&route, true)))
}

// printRoute has mqadmin's columns (topicRoute -l).
func printRoute(out io.Writer, brokers []admin.TopicBroker) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "#ClusterName\t#BrokerName\t#BrokerAddrs\t#ReadQueue\t#WriteQueue\t#Perm")
	read, write := 0, 0
	for _, b := range brokers {
		var addrs []string
		for _, id := range slices.Sorted(maps.Keys(b.Addrs)) {
			addrs = append(addrs, fmt.Sprintf("%d=%s", id, b.Addrs[id]))
		}
		read, write = read+b.ReadQueues, write+b.WriteQueues
		fmt.Fprintf(w, "%s\t%s\t{%s}\t%d\t%d\t%d\n", b.Cluster, b.Name, strings.Join(addrs, ", "), b.ReadQueues, b.WriteQueues, b.Perm)
	}
	fmt.Fprintf(w, "Total:\t%d\t\t%d\t%d\t\n", len(brokers), read, write)
	return w.Flush()
}

func newTopicStatus(conn *connection) *cobra.Command {
	return forTopic(conn, "status", "Show what a topic's queues hold, as mqadmin topicStatus does", func(ctx context.Context, a *admin.Client, topic string, out io.Writer) error {
		state, err := a.DescribeTopic(ctx, topic)
		if err != nil {
			return err
		}
		return printStatus(out, state)
	})
}

// printStatus has mqadmin's columns, and the number of messages.
func printStatus(out io.Writer, state admin.TopicState) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "#Broker Name\t#QID\t#Min Offset\t#Max Offset\t#Last Updated")
	for _, q := range state.Queues {
		last := ""
		if !q.LastStored.IsZero() {
			last = q.LastStored.Format("2006-01-02 15:04:05,000")
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", q.Queue.Broker, q.Queue.ID, q.Min, q.Max, last)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nMessages: %d\nTopic Put TPS: %.1f\n", state.Messages(), state.PutTPS)
	return err
}
