package brokerlite

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// asking asks an offset code about queue 0 of topic orders; the answer is its offset
// or its time.
func (c *client) asking(code protocol.Code, at time.Time, boundary string) string {
	c.t.Helper()
	h := &protocol.OffsetRequest{Code: code, Topic: "orders", Timestamp: at.UnixMilli(), Boundary: boundary}
	resp := c.ok(code, h, nil)
	return resp.Fields.Value("offset") + resp.Fields.Value("timestamp")
}

// Java sends the names of its constants, in upper case; whatever is not UPPER is
// LOWER (BoundaryType.getType).
func TestASearchByTimeHasABoundary(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		begun := now()
		for _, after := range []time.Duration{0, 0, 0, 20, 20, 40} { // seconds
			time.Sleep(time.Until(begun.Add(after * time.Second)))
			c.send(sending("orders"), "x")
		}
		for _, test := range []struct {
			name         string
			at           time.Duration
			lower, upper string
		}{
			{"before the first", -time.Millisecond, "0", "0"},
			{"at the first three", 0, "0", "2"},
			{"between", 10 * time.Second, "3", "2"},
			{"at two", 20 * time.Second, "3", "4"},
			{"at the last", 40 * time.Second, "5", "5"},
			{"behind the last", time.Minute, "6", "5"},
		} {
			for boundary, want := range map[string]string{"": test.lower, "LOWER": test.lower, "lower": test.lower, "none": test.lower, "UPPER": test.upper, "upper": test.upper} {
				if got := c.asking(protocol.SearchOffsetByTime, begun.Add(test.at), boundary); got != want {
					t.Errorf("%s, boundaryType %q: %s, want %s", test.name, boundary, got, want)
				}
			}
		}
	})
}

func TestOffsetsOfAQueueWhoseOldestLogIsGone(t *testing.T) {
	const hourly = "mappedFileSizeCommitLog=131072\nmaxMessageSize=65536\nfileReservedTime=1\ndeleteWhen=00;01;02;03;04;05;06;07;08;09;10;11;12;13;14;15;16;17;18;19;20;21;22;23"
	crowded(t, hourly, func(t *testing.T, c *client, _ *crowdedDisk) {
		c.createTopic("orders", 1)
		c.createTopic("gone", 1)
		c.send(sending("gone"), "in the first file")
		begun := now()
		body := string(bytes.Repeat([]byte("x"), 31<<10))
		for range 16 {
			c.send(sending("orders"), body)
			time.Sleep(time.Second)
		}
		first := int64(0)
		for tries := 0; first == 0 && tries < 3*60*6; tries++ {
			time.Sleep(10 * time.Second)
			first = c.pull(pulling("orders", 15, "*")).MinOffset
		}
		if first == 0 {
			t.Fatal("nothing was deleted in three hours")
		}
		for _, test := range []struct{ name, got, want string }{
			{"30", c.asking(protocol.GetMaxOffset, begun, ""), "16"},
			{"31", c.asking(protocol.GetMinOffset, begun, ""), fmt.Sprint(first)},
			{"32", c.asking(protocol.GetEarliestStoreTime, begun, ""), itoa(begun.Add(time.Duration(first) * time.Second).UnixMilli())},
			{"29", c.asking(protocol.SearchOffsetByTime, begun, ""), fmt.Sprint(first)},
			{"29, upper", c.asking(protocol.SearchOffsetByTime, begun, "UPPER"), fmt.Sprint(first)},
		} {
			if test.got != test.want {
				t.Errorf("code %s: %s, want %s", test.name, test.got, test.want)
			}
		}
		for code, want := range map[protocol.Code]string{protocol.GetMaxOffset: "1", protocol.GetMinOffset: "1", protocol.GetEarliestStoreTime: "-1"} {
			resp := c.ok(code, &protocol.OffsetRequest{Code: code, Topic: "gone"}, nil)
			if got := resp.Fields.Value("offset") + resp.Fields.Value("timestamp"); got != want {
				t.Errorf("code %d of a queue with nothing left: %s, want %s", code, got, want)
			}
		}
	})
}
