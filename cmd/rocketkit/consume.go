package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// consumeFlags are what "rocketkit consume" was told.
type consumeFlags struct {
	connection
	topic, group, from, tag string
	max                     int
	timeout                 time.Duration
	json                    bool
}

func newConsume() *cobra.Command {
	var f consumeFlags
	cmd := &cobra.Command{
		Use:   "consume -t <topic> -g <group>",
		Short: "Receive messages and print them",
		Long: `Receive the messages of a consumer group and print them, a line each, until Ctrl-C. What
is printed is acknowledged: the group goes on behind it next time, and its other
members do not get it.`,
		Example: `  rocketkit consume -t orders -g look --from first
  rocketkit consume -t orders -g look --tag "paid || refunded" --json
  rocketkit consume -t orders -g look --max 10 --timeout 5s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.addTo(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.topic, "topic", "t", "", "the topic")
	flags.StringVarP(&f.group, "group", "g", "", "the consumer group")
	flags.StringVar(&f.from, "from", "last", "where a new group begins: first (all that is stored) or last (what comes from now on; a topic so young that its first message is in memory is shown from its beginning, as RocketMQ's brokers have it)")
	flags.StringVar(&f.tag, "tag", "*", "the tags to receive, such as \"paid || refunded\"")
	flags.IntVar(&f.max, "max", 0, "end after so many messages (0: never)")
	flags.DurationVar(&f.timeout, "timeout", 0, "end when no message has come for so long (0: never)")
	flags.BoolVar(&f.json, "json", false, "print messages as JSON")
	return cmd
}

func (f *consumeFlags) validate(cmd *cobra.Command) error {
	var err error
	if f.topic, err = topicOf(cmd, nil, f.topic); err != nil {
		return err
	}
	if f.group, err = groupOf(cmd, nil, f.group); err != nil {
		return err
	}
	switch {
	case f.from != "first" && f.from != "last":
		err = fmt.Errorf("--from %q: want first or last", f.from)
	case f.max < 0:
		err = fmt.Errorf("--max %d: want 0 or more", f.max)
	case f.timeout < 0:
		err = fmt.Errorf("--timeout %v: want 0 or more", f.timeout)
	default:
		return nil
	}
	return usageError(cmd, err)
}

func (f *consumeFlags) run(cmd *cobra.Command) error {
	if err := f.validate(cmd); err != nil {
		return err
	}
	client, closeClient, err := f.client(cmd)
	if err != nil {
		return err
	}
	if err := f.check(cmd, client); err != nil {
		return errors.Join(f.explain(err), closeClient())
	}
	p := &printer{out: cmd.OutOrStdout(), json: f.json, max: int64(f.max), came: make(chan struct{}, 1), done: make(chan error, 1)}
	from := consumer.Last
	if f.from == "first" {
		from = consumer.First
	}
	mux := consumer.NewMux(f.group, consumer.From(from), consumer.PullBatch(batch(f.max)))
	consumer.HandleRaw(mux, f.topic, p.handle, consumer.Tags(f.tag), consumer.Concurrency(1))
	c, err := client.NewConsumer(mux)
	if err != nil {
		return errors.Join(usageError(cmd, err), closeClient())
	}
	err = c.Start(cmd.Context())
	if err == nil {
		err = f.wait(cmd.Context(), p)
	}
	return errors.Join(err, leave(c, p), closeClient())
}

// check says at once what would otherwise be waited for without a word.
func (f *consumeFlags) check(cmd *cobra.Command, client *rocketkit.Client) error {
	a, err := client.Admin()
	if err != nil {
		return err
	}
	route, err := a.Route(cmd.Context(), f.topic)
	switch {
	case errors.Is(err, message.ErrNoRoute):
		fmt.Fprintf(cmd.ErrOrStderr(), "topic %s does not exist yet; waiting for it\n", f.topic)
		return nil
	case err != nil:
		return err
	case isTerminal(cmd.OutOrStdout()):
		fmt.Fprintf(cmd.ErrOrStderr(), "receiving messages of topic %s; Ctrl-C ends\n", f.topic)
	}
	var masters []admin.Broker
	for _, b := range route {
		if m := b.Master(); m.Addr != "" {
			masters = append(masters, m)
		}
	}
	return a.Reach(cmd.Context(), masters)
}

// batch is how many messages to pull at once: no more than are wanted.
func batch(limit int) int {
	const most = 32
	if limit == 0 {
		return most
	}
	return min(limit, most)
}

// wait waits for the last message, the time-out or Ctrl-C.
func (f *consumeFlags) wait(ctx context.Context, p *printer) error {
	var timer *time.Timer
	var silence <-chan time.Time
	if f.timeout > 0 {
		timer = time.NewTimer(f.timeout)
		defer timer.Stop()
		silence = timer.C
	}
	for {
		select {
		case <-p.came:
			if timer != nil {
				timer.Reset(f.timeout)
			}
		case err := <-p.done:
			return err
		case <-ctx.Done():
			return nil
		case <-silence:
			if f.max > 0 {
				return fmt.Errorf("received %d of %d messages; no more came for %v", p.printed.Load(), f.max, f.timeout)
			}
			return nil
		}
	}
}

// leaveTime is enough for what was printed to be acknowledged.
const leaveTime = 300 * time.Millisecond

// leave ends the consumer. What was received and not printed is left to others.
func leave(c *consumer.Consumer, p *printer) error {
	p.ended.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	err := c.Drain(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // something was left
	}
	return err
}

// printer prints messages. Its one handler runs once at a time.
type printer struct {
	out  io.Writer
	json bool
	max  int64
	came chan struct{} // of capacity 1: a message was printed
	done chan error    // of capacity 1: the last one was, or printing failed

	printed atomic.Int64
	ended   atomic.Bool // nothing more is printed
}

func (p *printer) handle(ctx context.Context, d *message.Delivery) error {
	if p.ended.Load() {
		<-ctx.Done() // neither acknowledged nor retried: the group keeps it
		return ctx.Err()
	}
	line, err := p.line(d)
	if err == nil {
		_, err = fmt.Fprintln(p.out, line)
	}
	if err != nil {
		p.ended.Store(true)
		p.done <- fmt.Errorf("print message %s: %w", d.ID, err)
		<-ctx.Done()
		return ctx.Err()
	}
	if n := p.printed.Add(1); n == p.max {
		p.ended.Store(true)
		p.done <- nil
	}
	select {
	case p.came <- struct{}{}:
	default:
	}
	return nil
}

// line shows a message in one line.
func (p *printer) line(d *message.Delivery) (string, error) {
	if p.json {
		b, err := json.Marshal(viewOf(d))
		return string(b), err
	}
	return fmt.Sprintf("%s queue=%s:%d offset=%d msgId=%s tags=%s keys=%s reconsumeTimes=%d msg=%s",
		d.Stored().Format("2006-01-02 15:04:05.000"), d.Queue.Broker, d.Queue.ID, d.QueueOffset, d.ID, d.Tag,
		strings.Join(d.Keys(), ","), d.ReconsumeTimes, strconv.Quote(string(d.Body))), nil
}

// view is a message in JSON.
type view struct {
	Topic          string            `json:"topic"`
	Broker         string            `json:"broker"`
	QueueID        int               `json:"queueId"`
	QueueOffset    int64             `json:"queueOffset"`
	MsgID          string            `json:"msgId"`
	OffsetMsgID    string            `json:"offsetMsgId"`
	Tags           string            `json:"tags,omitempty"`
	Keys           []string          `json:"keys,omitempty"`
	ReconsumeTimes int               `json:"reconsumeTimes"`
	BornTimestamp  int64             `json:"bornTimestamp"`
	StoreTimestamp int64             `json:"storeTimestamp"`
	Properties     map[string]string `json:"properties"`
	Body           *string           `json:"body,omitempty"`       // text
	BodyBase64     string            `json:"bodyBase64,omitempty"` // anything else
}

func viewOf(d *message.Delivery) view {
	v := view{
		Topic: d.Topic, Broker: d.Queue.Broker, QueueID: d.Queue.ID, QueueOffset: d.QueueOffset,
		MsgID: d.ID, OffsetMsgID: d.OffsetID, Tags: d.Tag, Keys: d.Keys(), ReconsumeTimes: d.ReconsumeTimes,
		BornTimestamp: d.BornTimestamp, StoreTimestamp: d.StoreTimestamp, Properties: maps.Collect(d.Properties()),
	}
	if utf8.Valid(d.Body) {
		text := string(d.Body)
		v.Body = &text
	} else {
		v.BodyBase64 = base64.StdEncoding.EncodeToString(d.Body)
	}
	return v
}
