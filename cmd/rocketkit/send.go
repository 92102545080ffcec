package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rocketkit/rocketkit/delay"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

// sendFlags are what "rocketkit send" was told.
type sendFlags struct {
	connection
	topic, group, tag, delay string
	keys, properties         []string
	body, file               string
	count                    int
	async                    bool
	progress                 time.Duration // between two lines of it
}

func newSend() *cobra.Command {
	f := sendFlags{progress: progressEvery}
	cmd := &cobra.Command{
		Use:   "send -t <topic>",
		Short: "Send messages",
		Long: `Send a message, and print where it is stored. The body is --body, or the content of a
file; without either every line of the input is a message.`,
		Example: `  rocketkit send -t orders --body hello --tag paid --key 42
  rocketkit send -t orders --body later --delay 10s
  rocketkit send -t orders -f order.json --property region=eu
  seq 1000 | rocketkit send -t orders --async`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.addTo(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.topic, "topic", "t", "", "the topic")
	flags.StringVarP(&f.group, "group", "g", "rocketkit_send", "the producer group")
	flags.StringVar(&f.tag, "tag", "", "the message's tag")
	flags.StringArrayVar(&f.keys, "key", nil, "a business key; may be repeated")
	flags.StringArrayVar(&f.properties, "property", nil, "a property, name=value; may be repeated")
	flags.StringVar(&f.delay, "delay", "", "deliver later: a delay level (1 to 18), or a time such as 10s")
	flags.StringVar(&f.body, "body", "", "the body")
	flags.StringVarP(&f.file, "file", "f", "", "a file whose content is the body")
	flags.IntVar(&f.count, "count", 1, "how often to send the message")
	flags.BoolVar(&f.async, "async", false, "do not wait for one message's result before sending the next")
	return cmd
}

func (f *sendFlags) run(cmd *cobra.Command) error {
	template, err := f.template(cmd)
	if err != nil {
		return err
	}
	bodies, err := f.bodies(cmd)
	if err != nil {
		return err
	}
	client, closeClient, err := f.client(cmd)
	if err != nil {
		return err
	}
	p, err := client.NewProducer(f.group)
	if err != nil {
		return errors.Join(usageError(cmd, err), closeClient())
	}
	total := f.count
	if bodies.endless {
		total = 0
	}
	s := &sending{producer: p, template: template, results: newResults(cmd, total, f.progress)}
	if f.async {
		err = s.async(cmd.Context(), bodies)
	} else {
		err = s.sync(cmd.Context(), bodies)
	}
	return errors.Join(s.results.end(f.explain(err)), closeClient())
}

// template is the message without its body.
func (f *sendFlags) template(cmd *cobra.Command) (*message.Message, error) {
	topic, err := topicOf(cmd, nil, f.topic)
	if err != nil {
		return nil, err
	}
	opts := []message.Option{message.Tag(f.tag), message.Key(f.keys...)}
	for _, p := range f.properties {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return nil, usageError(cmd, fmt.Errorf("--property %q: want name=value", p))
		}
		opts = append(opts, message.Property(name, value))
	}
	if f.delay != "" {
		d, err := delayOf(f.delay)
		if err != nil {
			return nil, usageError(cmd, err)
		}
		opts = append(opts, d)
	}
	if f.count < 1 {
		return nil, usageError(cmd, fmt.Errorf("--count %d: want 1 or more", f.count))
	}
	m := message.New(topic, []byte{0}, opts...) // a body comes later
	if err := m.Validate(0); err != nil {
		return nil, usageError(cmd, err)
	}
	m.Body = nil
	return m, nil
}

// delayOf reads --delay. A time that is a level needs no timer at the server.
func delayOf(text string) (message.Option, error) {
	if level, err := strconv.Atoi(text); err == nil {
		if level < 1 || level > len(delay.Levels()) {
			return nil, fmt.Errorf("--delay %s: want a level from 1 to %d, or a time with its unit, such as 10s", text, len(delay.Levels()))
		}
		return delay.Level(level), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return nil, fmt.Errorf("--delay %s: want a time such as 10s or 30m, or a level from 1 to %d", text, len(delay.Levels()))
	}
	if level, ok := delay.LevelFor(d); ok {
		return delay.Level(level), nil
	}
	return delay.After(d), nil
}

// source yields bodies, one for each message.
type source struct {
	next    func(context.Context) ([]byte, error) // io.EOF ends it
	endless bool                                  // how many there are is not known
}

// bodies are where the messages come from.
func (f *sendFlags) bodies(cmd *cobra.Command) (source, error) {
	given := cmd.Flags().Changed("body")
	if !given && f.file == "" {
		if cmd.Flags().Changed("count") {
			return source{}, usageError(cmd, errors.New("--count needs --body or -f: of the input every line is sent once"))
		}
		if isTerminal(cmd.InOrStdin()) {
			fmt.Fprintln(cmd.ErrOrStderr(), "every line is a message; Ctrl-D ends")
		}
		return lines(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr()), nil
	}
	if given && f.file != "" {
		return source{}, usageError(cmd, errors.New("--body and -f are given: want one of them"))
	}
	body, where := []byte(f.body), "--body"
	if f.file != "" {
		var err error
		if body, err = os.ReadFile(f.file); err != nil {
			return source{}, err
		}
		where = f.file
	}
	if len(body) == 0 {
		return source{}, usageError(cmd, fmt.Errorf("%s is empty: RocketMQ takes no message without a body", where))
	}
	left := f.count
	return source{next: func(context.Context) ([]byte, error) {
		if left == 0 {
			return nil, io.EOF
		}
		left--
		return body, nil
	}}, nil
}

// line is one of the input's, or why there are no more.
type line struct {
	body []byte
	err  error
}

// lines are the input's, without those that are empty: no message can be. The
// goroutine that reads ends with the input, or at its first line after ctx has
// ended: nothing else wakes somebody who reads from a terminal.
func lines(ctx context.Context, in io.Reader, notes io.Writer) source {
	read := make(chan line)
	go func() {
		defer close(read)
		r := bufio.NewReader(in)
		for number := 1; ; number++ {
			text, err := r.ReadBytes('\n')
			l := line{body: bytes.TrimRight(text, "\r\n")}
			switch {
			case len(l.body) > 0:
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				l.err = fmt.Errorf("read the input: %w", err)
			default:
				fmt.Fprintf(notes, "line %d is empty and left out: RocketMQ takes no message without a body\n", number)
				continue
			}
			select {
			case read <- l:
			case <-ctx.Done():
				return
			}
		}
	}()
	return source{endless: true, next: func(ctx context.Context) ([]byte, error) {
		select {
		case l, ok := <-read:
			if !ok {
				return nil, io.EOF
			}
			return l.body, l.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

// sending sends the messages of a source.
type sending struct {
	producer *producer.Producer
	template *message.Message
	results  *results
}

// message is the next to send, nil at the end.
func (s *sending) message(ctx context.Context, from source) (*message.Message, error) {
	body, err := from.next(ctx)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := s.template.Clone()
	m.Body = body
	return m, nil
}

// sync sends one message after the other, up to the first that fails.
func (s *sending) sync(ctx context.Context, from source) error {
	for {
		m, err := s.message(ctx, from)
		if m == nil {
			return err
		}
		r, err := s.producer.Send(ctx, m)
		if err != nil {
			return err
		}
		s.results.add(r)
	}
}

// async sends without waiting, until one has failed. What is under way then has its
// outcome before it returns.
func (s *sending) async(ctx context.Context, from source) error {
	next, stop := context.WithCancelCause(ctx) // ends when there is to be no next one
	defer stop(nil)
	var ended error // why the source has
	for ended == nil && next.Err() == nil {
		var m *message.Message
		if m, ended = s.message(next, from); m == nil {
			break
		}
		s.producer.SendAsync(ctx, m, func(_ context.Context, r message.SendResult, err error) {
			if err != nil {
				stop(err) // the first wins
				return
			}
			s.results.add(r)
		})
	}
	err := s.producer.Close() // all callbacks have run
	if failed := context.Cause(next); failed != nil {
		return failed
	}
	return errors.Join(ended, err)
}
