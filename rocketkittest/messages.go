package rocketkittest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/rocketkit/rocketkit/message"
)

const (
	// patience bounds every wait, in real time or the bubble's.
	patience = 30 * time.Second
	// lookEvery is how often the server is asked what a topic has.
	lookEvery = 10 * time.Millisecond
	// showAtMost bounds how many messages, and how much of each, a failure shows.
	showAtMost, showBytes = 20, 80
)

// Want says which message is meant. What is empty does not matter; the zero value is any
// message.
type Want struct {
	Topic string // where there are several; of a dead letter it is the original one
	Tag   string
	Key   string // one of its keys
	ID    string // SendResult.MessageID
	Body  string // the same text, or the same JSON
	// Where decides about the rest.
	Where func(*message.Delivery) bool
}

func (w Want) of(d *message.Delivery) bool {
	return (w.Topic == "" || w.Topic == d.OriginTopic()) && (w.Tag == "" || w.Tag == d.Tag) &&
		(w.Key == "" || slices.Contains(d.Keys(), w.Key)) && (w.ID == "" || w.ID == d.ID) &&
		(w.Body == "" || sameBody(w.Body, d.Body)) && (w.Where == nil || w.Where(d))
}

func sameBody(want string, got []byte) bool {
	if want == string(got) {
		return true
	}
	var a, b bytes.Buffer
	return json.Compact(&a, []byte(want)) == nil && json.Compact(&b, got) == nil && bytes.Equal(a.Bytes(), b.Bytes())
}

func (w Want) String() string {
	var parts []string
	for _, p := range []struct{ name, value string }{{"topic", w.Topic}, {"tag", w.Tag}, {"key", w.Key}, {"id", w.ID}, {"body", shorten(w.Body)}} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	if w.Where != nil {
		parts = append(parts, "what Where says")
	}
	if len(parts) == 0 {
		return "any message"
	}
	return "a message with " + strings.Join(parts, ", ")
}

// Messages are the messages at some place: those of a topic, the dead letters of a group, or
// those that handlers have had.
type Messages struct {
	place   string // such as "topic orders"
	bubble  bool
	read    func(context.Context) ([]*message.Delivery, error) // oldest first
	changed func() <-chan struct{}                             // nil: nobody tells
	more    func() string                                      // for failures: what else there is to know
	deaf    func() string                                      // nil, or says why nothing can be read at all
}

// SentTo are the messages that the server has stored in a topic. Delayed ones are there when
// they are due, those of a transaction when it is committed. Of a name in a namespace it is
// message.WithNamespace that is meant.
func (s *Server) SentTo(topic string) *Messages {
	return &Messages{
		place: "topic " + topic, bubble: s.bubble,
		read: func(ctx context.Context) ([]*message.Delivery, error) { return s.stored(ctx, topic) },
		more: s.clockShows,
	}
}

// DeadLetters are the messages in a group's dead-letter queue.
func (s *Server) DeadLetters(group string) *Messages {
	m := s.SentTo(message.DLQTopic(group))
	m.place = "the dead-letter queue of " + group
	return m
}

// stored reads all of a topic; one that does not exist has nothing.
func (s *Server) stored(ctx context.Context, topic string) ([]*message.Delivery, error) {
	if !slices.Contains(s.Topics(), topic) {
		return nil, nil
	}
	brokers, err := s.admin.Route(ctx, topic)
	for errors.Is(err, message.ErrNoRoute) { // the name server learns of a topic a moment after the broker
		select {
		case <-time.After(lookEvery):
			brokers, err = s.admin.Route(ctx, topic)
		case <-ctx.Done():
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	var all []*message.Delivery
	for _, b := range brokers {
		for id := range b.ReadQueues {
			for next, end := int64(0), int64(1); next < end; {
				p, err := s.admin.MessagesAt(ctx, message.Queue{Topic: topic, Broker: b.Name, ID: id}, next, 32)
				if err != nil {
					return nil, err
				}
				all = append(all, p.Messages...)
				next, end = p.Next, p.Max
			}
		}
	}
	// An offset id ends with the place in the log.
	slices.SortFunc(all, func(a, b *message.Delivery) int { return cmp.Compare(a.OffsetID, b.OffsetID) })
	return all, nil
}

func (s *Server) clockShows() string {
	if s.bubble {
		return ""
	}
	return fmt.Sprintf("\nThe server's clock stands at %s; Advance moves it.", s.clock.Now().Format(time.TimeOnly))
}

// All returns the messages that are there now, oldest first.
func (m *Messages) All(t testing.TB) []*message.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	all, err := m.read(ctx)
	if err != nil {
		t.Fatalf("%s: %v", m.place, err)
	}
	return all
}

// Eventually waits for a message and returns the first such. The test fails when none has come
// after 30 s.
func (m *Messages) Eventually(t testing.TB, w Want) *message.Delivery {
	t.Helper()
	var found *message.Delivery
	if failure := m.await(t, func(all []*message.Delivery) (done bool, failure string) {
		if i := slices.IndexFunc(all, w.of); i >= 0 {
			found = all[i]
			return true, ""
		}
		return false, fmt.Sprintf("%s: %s has not come", m.place, w)
	}); failure != "" {
		t.Fatal(failure)
	}
	return found
}

// Exactly waits until there is a message for each want, in any order, and sees that nothing
// else has come; without wants, that nothing has. In a bubble it lets everything come to rest
// before; outside of one it cannot know what is still on its way to a handler.
func (m *Messages) Exactly(t testing.TB, wants ...Want) {
	t.Helper()
	if m.bubble {
		synctest.Wait()
	}
	if failure := m.await(t, func(all []*message.Delivery) (done bool, failure string) {
		missing, extra := match(wants, all)
		switch {
		case len(extra) > 0:
			return true, fmt.Sprintf("%s: nobody wants\n%s", m.place, list(extra))
		case len(missing) > 0:
			return false, fmt.Sprintf("%s: %s has not come", m.place, join(missing))
		}
		return true, ""
	}); failure != "" {
		t.Fatal(failure)
	}
}

// await looks until done, and returns the last failure, with all there is.
func (m *Messages) await(t testing.TB, look func([]*message.Delivery) (done bool, failure string)) string {
	t.Helper()
	again, end := time.NewTicker(lookEvery), time.NewTimer(patience)
	defer again.Stop()
	defer end.Stop()
	for {
		var changed <-chan struct{}
		if m.changed != nil {
			changed = m.changed() // before reading, so that no change is missed
		}
		all := m.All(t)
		done, failure := look(all)
		if m.deaf != nil {
			if why := m.deaf(); why != "" {
				done, failure = false, m.place+": "+why
			}
		}
		if failure != "" {
			failure += "\nThere:\n" + list(all) + m.more()
		}
		if done {
			return failure
		}
		select {
		case <-changed:
		case <-again.C:
		case <-end.C:
			return failure
		}
	}
}

// match gives each message to one of the wants, as many as it can.
func match(wants []Want, all []*message.Delivery) (missing []Want, extra []*message.Delivery) {
	owner := make([]int, len(wants)) // the message that a want has, or -1
	for i := range owner {
		owner[i] = -1
	}
	var give func(d int, asked []bool) bool
	give = func(d int, asked []bool) bool {
		for i, w := range wants {
			if asked[i] || !w.of(all[d]) {
				continue
			}
			asked[i] = true
			if owner[i] < 0 || give(owner[i], asked) {
				owner[i] = d
				return true
			}
		}
		return false
	}
	for d := range all {
		if !give(d, make([]bool, len(wants))) {
			extra = append(extra, all[d])
		}
	}
	for i, w := range wants {
		if owner[i] < 0 {
			missing = append(missing, w)
		}
	}
	return missing, extra
}

func join(wants []Want) string {
	var all []string
	for _, w := range wants {
		all = append(all, w.String())
	}
	return strings.Join(all, " and ")
}

// list shows messages, a line each.
func list(all []*message.Delivery) string {
	if len(all) == 0 {
		return "  nothing"
	}
	var lines []string
	for i, d := range all {
		if i == showAtMost {
			lines = append(lines, fmt.Sprintf("  and %d more", len(all)-i))
			break
		}
		lines = append(lines, "  "+show(d))
	}
	return strings.Join(lines, "\n")
}

func show(d *message.Delivery) string {
	line := d.OriginTopic()
	if d.Tag != "" {
		line += " tag=" + d.Tag
	}
	if keys := d.Keys(); len(keys) > 0 {
		line += " keys=" + strings.Join(keys, ",")
	}
	if d.ReconsumeTimes > 0 {
		line += fmt.Sprintf(" retries=%d", d.ReconsumeTimes)
	}
	return line + " body=" + shorten(string(d.Body))
}

// shorten quotes what does not print, and cuts what is long.
func shorten(body string) string {
	if body == "" {
		return ""
	}
	cut := body
	if len(cut) > showBytes {
		cut = cut[:showBytes]
		for !utf8.ValidString(cut) && len(cut) > showBytes-utf8.UTFMax && utf8.ValidString(body) {
			cut = cut[:len(cut)-1]
		}
	}
	if strings.ContainsFunc(cut, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
		cut = fmt.Sprintf("%q", cut)
	}
	if len(body) > showBytes {
		cut += fmt.Sprintf("… (%d bytes)", len(body))
	}
	return cut
}
