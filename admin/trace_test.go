package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/admin"
	"github.com/rocketkit/rocketkit/message"
)

// The texts are in the layout of TraceDataEncoder of 5.4.0, and of 4.x's SubAfter.
func TestTheTraceOfAMessageIsPutTogether(t *testing.T) {
	t.Parallel()
	b := start(t)
	client, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{b.NameServer()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	a, err := client.Admin()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateTopic(t.Context(), admin.Topic{Name: "OUR_TRACE", ReadQueues: 1, WriteQueues: 1}); err != nil {
		t.Fatal(err)
	}
	p, err := client.NewProducer("trace")
	if err != nil {
		t.Fatal(err)
	}
	line := func(words ...string) string { return strings.Join(words, "\x01") + "\x02" }
	for _, body := range []string{
		line("SubBefore", "2000", "DefaultRegion", "billing", "r1", "ID1", "2", "k"),
		line("SubAfter", "r1", "ID1", "30", "true", "k", "0"),
		line("Pub", "1000", "DefaultRegion", "shop", "orders", "ID1", "null", "k", "127.0.0.1:10911", "5", "12", "0", "OFFSET", "true") +
			line("Pub", "1001", "DefaultRegion", "shop", "orders", "ID2", "null", "k", "127.0.0.1:10911", "5", "12", "0", "OFFSET", "false"),
		line("Future", "1") + line("SubBefore"), // of a client to come, and cut off
	} {
		if _, err := p.Send(t.Context(), message.New("OUR_TRACE", []byte(body), message.Key("ID1", "k"))); err != nil {
			t.Fatal(err)
		}
	}
	got, err := a.Trace(t.Context(), "ID1", admin.Between{}, "OUR_TRACE")
	if err != nil {
		t.Fatal(err)
	}
	want := []admin.TraceEvent{
		{Type: "Pub", Region: "DefaultRegion", Time: time.UnixMilli(1000), Group: "shop", Topic: "orders", ID: "ID1", Keys: "k", Cost: 12 * time.Millisecond, Success: true, MessageType: "Normal_Msg"},
		{Type: "SubBefore", Region: "DefaultRegion", Time: time.UnixMilli(2000), Group: "billing", ID: "ID1", Keys: "k", Request: "r1", Retries: 2},
		{Type: "SubAfter", Time: time.UnixMilli(2030), Group: "billing", ID: "ID1", Keys: "k", Request: "r1", Cost: 30 * time.Millisecond, Success: true, Outcome: "SUCCESS"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := a.Trace(t.Context(), "ID1", admin.Between{}, ""); !errors.Is(err, message.ErrNoRoute) {
		t.Errorf("without a trace topic: %v", err)
	}
}

func TestTheAdminClientEndsWithItsClient(t *testing.T) {
	t.Parallel()
	b := start(t)
	client, err := rocketkit.Open(t.Context(), rocketkit.Config{NameServers: []string{b.NameServer()}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := client.Admin()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := client.Admin(); err != nil || again != a {
		t.Errorf("a second one, %v", err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Admin(); !errors.Is(err, message.ErrClosed) {
		t.Errorf("of a closed client: %v", err)
	}
	if _, err := a.Topics(t.Context()); err == nil {
		t.Error("it works after the end of its client")
	}
}
