package native

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// readable shows a properties text with = and ; for its separators.
func readable(props []byte) string {
	return strings.NewReplacer("\x01", "=", "\x02", ";").Replace(string(props))
}

func TestPropertiesAsTheyTravel(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_123)
	tests := []struct {
		name string
		m    *message.Message
		want string
	}{
		{"only the id", &message.Message{}, "UNIQ_KEY=ID;"},
		{"tag and keys", &message.Message{Tag: "paid", Keys: []string{"k1", "k2"}}, "UNIQ_KEY=ID;TAGS=paid;KEYS=k1 k2;"},
		{"sharding key", &message.Message{ShardingKey: "s"}, "UNIQ_KEY=ID;__SHARDINGKEY=s;"},
		{"user's", &message.Message{Properties: map[string]string{"p": "v"}}, "UNIQ_KEY=ID;p=v;"},
		{"level", &message.Message{Delay: message.Delay{Level: 3}}, "UNIQ_KEY=ID;DELAY=3;"},
		{"after", &message.Message{Delay: message.Delay{After: 1500 * time.Millisecond}}, "UNIQ_KEY=ID;TIMER_DELAY_MS=1500;"},
		{"after, never shorter", &message.Message{Delay: message.Delay{After: time.Microsecond}}, "UNIQ_KEY=ID;TIMER_DELAY_MS=1;"},
		{"at", &message.Message{Delay: message.Delay{At: at}}, "UNIQ_KEY=ID;TIMER_DELIVER_MS=1700000000123;"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := readable(appendProperties(nil, &driver.Outgoing{Message: tt.m, ID: "ID"}))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPropertiesOfInterceptorsFollow(t *testing.T) {
	t.Parallel()
	m := &driver.Outgoing{Message: &message.Message{}, ID: "ID", Extra: []driver.Property{{Name: "traceparent", Value: "00-x"}, {Name: "empty"}}}
	if got := readable(appendProperties(nil, m)); got != "UNIQ_KEY=ID;traceparent=00-x;" {
		t.Error(got)
	}
}

func TestRetriedCopyKeepsWhatCountsAndDropsWhatDelayed(t *testing.T) {
	t.Parallel()
	deliver := func(props string) *message.Delivery {
		d := &message.Delivery{Topic: "orders", ID: "ID", OffsetID: "FIRST"}
		d.SetRawProperties(strings.NewReplacer("=", "\x01", ";", "\x02").Replace(props))
		return d
	}
	tests := []struct {
		name, props string
		at          int64
		want        string
	}{
		{
			"first attempt", "UNIQ_KEY=ID;TAGS=a;p=v;", 77,
			"UNIQ_KEY=ID;TAGS=a;p=v;ORIGIN_MESSAGE_ID=FIRST;RETRY_TOPIC=orders;TIMER_DELIVER_MS=77;",
		},
		{
			"a later one keeps the first copy's id", "UNIQ_KEY=ID;ORIGIN_MESSAGE_ID=EARLIER;RETRY_TOPIC=orders;", 77,
			"UNIQ_KEY=ID;ORIGIN_MESSAGE_ID=EARLIER;RETRY_TOPIC=orders;TIMER_DELIVER_MS=77;",
		},
		{
			"what delayed or prepared it is gone", "UNIQ_KEY=ID;DELAY=3;TIMER_DELIVER_MS=5;TIMER_DELAY_MS=5;TIMER_DELAY_SEC=5;TIMER_OUT_MS=5;REAL_TOPIC=x;REAL_QID=0;TRAN_MSG=true;WAIT=false;", 0,
			"UNIQ_KEY=ID;ORIGIN_MESSAGE_ID=FIRST;RETRY_TOPIC=orders;",
		},
		{
			"a message without the producer's id gets the one it was known by", "TAGS=a;", 0,
			"TAGS=a;UNIQ_KEY=ID;ORIGIN_MESSAGE_ID=FIRST;RETRY_TOPIC=orders;",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, readable(retryProperties(deliver(tt.props), deliver(tt.props).OriginTopic(), tt.at))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDelayIsRoundedUpToALevel(t *testing.T) {
	t.Parallel()
	levels, err := protocol.ParseDelayLevels(protocol.DefaultDelayLevels)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		d    time.Duration
		want int32
	}{
		{time.Millisecond, 1}, {time.Second, 1}, {time.Second + 1, 2}, {11 * time.Second, 4}, {2 * time.Hour, 18}, {72 * time.Hour, 18},
	} {
		if got := levelFor(levels, tt.d); got != tt.want {
			t.Errorf("%s: level %d, want %d", tt.d, got, tt.want)
		}
	}
}
