package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/codec/cloudevents"
	"github.com/rocketkit/rocketkit/codec/protobuf"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// wire sends a message as a program of another kind would.
func wire(body, contentType string) *message.Message {
	m := message.New("orders", []byte(body))
	if contentType != "" {
		m.Properties = map[string]string{codec.ContentTypeProperty: contentType}
	}
	return m
}

func encoded(t *testing.T, c codec.Codec, v any) *message.Message {
	t.Helper()
	m := message.New("orders", nil)
	if err := codec.Encode(c, m, v); err != nil {
		t.Fatal(err)
	}
	return m
}

// handled registers a handler for T that notes values by show.
func handled[T any](show func(T) string, c codec.Codec) func(*consumer.Mux, *journal) {
	return func(mux *consumer.Mux, seen *journal) {
		consumer.Handle(mux, "orders", func(_ context.Context, v T) error {
			seen.add("%s", show(v))
			return nil
		}, consumer.Codec(c))
	}
}

// What a codec cannot read goes to the dead letters at the first attempt, and what it
// can read arrives.
func TestWhatCannotBeDecodedIsDeadLetteredAtOnce(t *testing.T) {
	t.Parallel()
	type order struct{ ID string }
	asIs := func(s string) string { return s }
	id := func(o order) string { return o.ID }
	event := cloudevents.Event{ID: "1", Source: "s", Type: "t", DataContentType: "application/json", Data: []byte(`{"ID":"o1"}`)}
	choice := codec.ByContentType(codec.JSON{}, protobuf.Codec{}, cloudevents.Codec{}, codec.Text{})
	str := func(v *wrapperspb.StringValue) string { return v.Value }
	for name, tc := range map[string]struct {
		handle    func(*consumer.Mux, *journal)
		good, bad *message.Message
		want      string
	}{
		"json":                  {handled(id, codec.JSON{}), encoded(t, codec.JSON{}, order{"o1"}), wire("{", ""), "o1"},
		"json of an envelope":   {handled(id, codec.JSON{}), encoded(t, cloudevents.Codec{}, event), encoded(t, cloudevents.Codec{Structured: true}, event), "o1"},
		"protobuf":              {handled(str, protobuf.Codec{}), encoded(t, protobuf.Codec{}, wrapperspb.String("o1")), wire("\xff", ""), "o1"},
		"cloudevents":           {handled(func(e cloudevents.Event) string { return e.ID }, cloudevents.Codec{}), encoded(t, cloudevents.Codec{Structured: true}, event), wire("{}", ""), "1"},
		"cloudevents' data":     {handled(id, cloudevents.Codec{}), encoded(t, cloudevents.Codec{}, event), wire("{}", ""), "o1"},
		"by type: JSON":         {handled(id, choice), encoded(t, codec.JSON{}, order{"o1"}), wire("{", "application/json"), "o1"},
		"by type: an envelope":  {handled(id, choice), encoded(t, cloudevents.Codec{Structured: true}, event), wire("{}", "application/cloudevents+json"), "o1"},
		"by type: protobuf":     {handled(str, choice), encoded(t, protobuf.Codec{}, wrapperspb.String("o1")), wire("\xff", protobuf.ContentType), "o1"},
		"by type: text or JSON": {handled(asIs, choice), wire("o1", "text/plain;charset=UTF-8"), wire("o1", "application/json"), "o1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				var seen, dead journal
				mux := consumer.NewMux("pay", consumer.From(consumer.First))
				tc.handle(mux, &seen)
				consumer.HandleDLQ(mux, func(_ context.Context, d *message.Delivery) error {
					dead.add("%s after %d", d.Body, d.ReconsumeTimes)
					return nil
				})
				_, end := w.member(mux)
				for _, m := range []*message.Message{tc.bad, tc.good} {
					if _, err := w.send.Send(w.t.Context(), m); err != nil {
						w.t.Fatal(err)
					}
				}
				pass(time.Minute)
				end((*consumer.Consumer).Drain)
				seen.want(t, tc.want)
				if got, _ := dead.read(); len(got) != 1 || !strings.HasPrefix(got[0], string(tc.bad.Body)) {
					t.Errorf("dead letters %q, want %q", got, tc.bad.Body)
				}
			})
		})
	}
}

func TestADecodeErrorSaysWhatTheMessageSaysOfItself(t *testing.T) {
	t.Parallel()
	err := &consumer.DecodeError{Group: "pay", Handler: "paid", Topic: "orders", MessageID: "01", Codec: "json", ContentType: "application/protobuf", Type: "order", Size: 3, Err: errors.New("no JSON")}
	if want := `cannot decode message 01 of topic "orders" for handler "paid" of group "pay": 3 bytes of application/protobuf as order by codec json: no JSON`; err.Error() != want {
		t.Error(err)
	}
}

// One choice serves a whole group: each handler gets the codecs that fit it.
func TestAGroupSharesAChoiceOfCodecs(t *testing.T) {
	t.Parallel()
	mux := consumer.NewMux("pay", consumer.Codec(codec.ByContentType(protobuf.Codec{}, codec.Text{})))
	consumer.Handle(mux, "a", func(context.Context, string) error { return nil })
	consumer.Handle(mux, "b", func(context.Context, *wrapperspb.StringValue) error { return nil })
	if _, err := consumer.New(newScripted(), mux); err != nil {
		t.Error(err)
	}
	consumer.Handle(mux, "c", func(context.Context, struct{}) error { return nil })
	if _, err := consumer.New(newScripted(), mux); err == nil || !strings.Contains(err.Error(), `handler "c": codec protobuf or text: type does not fit the codec`) {
		t.Error(err)
	}
}
