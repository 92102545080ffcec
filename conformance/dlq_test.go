package conformance_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/dlq"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/retry"
)

// dlqCases are those of package dlq.
func dlqCases() []testCase {
	return []testCase{
		{name: "dlq inspect", about: "groups with dead letters are counted, and each letter shows topic, id and reason", run: dlqInspect},
		{name: "dlq redrive", about: "dry, filtered, at a rate, interrupted and resumed: each letter goes to its group once, id and keys unchanged", run: dlqRedrive},
		{name: "dlq redrive to origin", about: "to the original topic, for all its groups", run: dlqToOrigin},
	}
}

// mortuary is a group whose handler gives every message up while it is broken.
type mortuary struct {
	group, topic string
	broken       atomic.Bool
	in           *inbox
	ids          []string // of the dead letters, by body
}

func (s *stand) mortuary(c *rocketkit.Client, bodies ...string) *mortuary {
	s.Helper()
	m := &mortuary{group: s.group(), topic: s.topicOf(1), in: s.inbox()}
	m.broken.Store(true)
	mux := s.mux(m.group)
	consumer.HandleRaw(mux, m.topic, func(ctx context.Context, d *message.Delivery) error {
		if m.broken.Load() {
			return retry.Permanent(errors.New("broken"))
		}
		return m.in.take(ctx, d)
	})
	s.start(c, mux)
	p := s.producer(c)
	for _, b := range bodies {
		m.ids = append(m.ids, s.send(p, message.New(m.topic, []byte(b), message.Key("key-"+b), message.Tag("tag"))).MessageID)
	}
	s.eventually("they are dead", func() bool { return len(s.letters(c, m.group)) == len(bodies) })
	return m
}

// letters are a group's dead letters; none when they cannot be read.
func (s *stand) letters(c *rocketkit.Client, group string) []*dlq.Letter {
	var all []*dlq.Letter
	for l, err := range dlq.Inspect(s.soon(), c, group) {
		if err != nil {
			return nil
		}
		all = append(all, l)
	}
	return all
}

func dlqInspect(s *stand) {
	c := s.open()
	m := s.mortuary(c, "0", "1")
	var ids []string
	for _, l := range s.letters(c, m.group) {
		ids = append(ids, l.ID)
		if l.OriginTopic() != m.topic || l.Topic != message.DLQTopic(m.group) || l.Reason != dlq.GivenUp || l.Reason.String() != "given up by the consumer" {
			s.Errorf("letter %+v of topic %s, %v", l.Delivery, l.OriginTopic(), l.Reason)
		}
	}
	slices.Sort(ids)
	if diff := cmp.Diff(slices.Sorted(slices.Values(m.ids)), ids); diff != "" {
		s.Errorf("ids (-want +got)\n%s", diff)
	}
	all, err := dlq.List(s.soon(), c)
	i := slices.IndexFunc(all, func(n dlq.Count) bool { return n.Group == m.group })
	if err != nil || i < 0 || all[i].Stored != 2 || all[i].Left != 2 || all[i].Last.IsZero() {
		s.Errorf("%+v, %v", all, err)
	}
	for l, err := range dlq.Inspect(s.soon(), c, s.group()) {
		s.Errorf("a group without any: %+v, %v", l, err)
	}
}

func dlqRedrive(s *stand) {
	c := s.open()
	m := s.mortuary(c, "0", "1", "2", "3")
	m.broken.Store(false)
	redrive := func(want dlq.Report, opts ...dlq.Option) {
		s.Helper()
		got, err := dlq.Redrive(s.soon(), c, m.group, opts...)
		if err != nil {
			s.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			s.Errorf("report (-want +got)\n%s", diff)
		}
	}
	without := func(body string) dlq.Option {
		return dlq.Filter(func(l *dlq.Letter) bool { return string(l.Body) != body })
	}
	redrive(dlq.Report{Total: 4, Sent: 3, Filtered: 1}, dlq.DryRun(), without("2"))
	ctx, cancel := context.WithCancel(s.soon())
	defer cancel()
	_, err := dlq.Redrive(ctx, c, m.group, dlq.OnProgress(func(p dlq.Progress) {
		if p.Sent == 1 {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		s.Fatalf("interrupted: %v", err)
	}
	first := m.in.ids(1)
	skip := "2" // unless it has gone already: letters come in the order in which they died
	for _, d := range first {
		if string(d.Body) == skip {
			skip = "3"
		}
	}
	steps, begun := 0, time.Now()
	redrive(dlq.Report{Total: 3, Sent: 2, Filtered: 1}, without(skip), dlq.Rate(5), dlq.OnProgress(func(dlq.Progress) { steps++ }))
	if took, least := time.Since(begun), 190*time.Millisecond; took < least {
		s.Errorf("2 letters at 5 a second took %s, want %s at least", took, least)
	}
	if steps != 3 {
		s.Errorf("progress was told %d times", steps)
	}
	got := m.in.ids(2)
	for id, d := range first {
		got[id] = d
	}
	var bodies []string
	for id, d := range got {
		bodies = append(bodies, string(d.Body))
		if !slices.Contains(m.ids, id) || d.Topic != m.topic || d.Tag != "tag" || !slices.Equal(d.Keys(), []string{"key-" + string(d.Body)}) || d.ReconsumeTimes != 0 {
			s.Errorf("redriven %+v", d)
		}
	}
	slices.Sort(bodies)
	if len(bodies) != 3 || slices.Contains(bodies, skip) {
		s.Errorf("redriven %q", bodies)
	}
	redrive(dlq.Report{})
	redrive(dlq.Report{Total: 4, Sent: 1, Filtered: 3}, dlq.FromStart(), dlq.Filter(func(l *dlq.Letter) bool { return string(l.Body) == skip }))
	if d := m.in.next(); string(d.Body) != skip {
		s.Errorf("redriven %+v", d)
	}
	m.in.none()
}

func dlqToOrigin(s *stand) {
	c := s.open()
	m := s.mortuary(c, "0")
	other := s.receive(c, m.topic)
	other.ids(1)
	m.broken.Store(false)
	if r, err := dlq.Redrive(s.soon(), c, m.group, dlq.ToOrigin()); err != nil || r.Sent != 1 {
		s.Fatalf("%+v, %v", r, err)
	}
	for _, in := range []*inbox{m.in, other} {
		if d := in.next(); d.ID != m.ids[0] || d.Topic != m.topic || d.Queue.Topic != m.topic {
			s.Errorf("redriven %+v", d)
		}
	}
}
