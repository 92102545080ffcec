package brokerlite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// query asks for messages by key, without bounds in time.
func query(topic, key string) *protocol.QueryMessageRequest {
	return &protocol.QueryMessageRequest{Topic: topic, Key: key, MaxNum: 64, EndTimestamp: 1<<63 - 1, UniqueKey: protocol.SomeBool(false)}
}

// queried is the answer to a query.
func (c *client) queried(h *protocol.QueryMessageRequest) (pulled, protocol.QueryMessageResponse) {
	c.t.Helper()
	resp := c.call(protocol.QueryMessage, h, nil)
	var header protocol.QueryMessageResponse
	if err := header.DecodeFields(resp.Fields); err != nil {
		c.t.Fatalf("%s: %s: %v", protocol.ResponseName(resp.Code), resp.Remark, err)
	}
	resp.Fields = nil
	return c.pulled(resp), header
}

func TestMessagesAreFoundByKey(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		begun := time.Now().UnixMilli()
		for i := range 80 {
			c.send(sending("orders", "KEYS", fmt.Sprintf("all k%d", i%10), "UNIQ_KEY", fmt.Sprintf("U%d", i), "TAGS", fmt.Sprintf("t%d", i%4)), fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		last := begun + 79_000
		unique := query("orders", "U7")
		unique.UniqueKey, unique.MaxNum, unique.IndexType = protocol.SomeBool(true), 0, protocol.IndexUnique
		between := query("orders", "all")
		between.BeginTimestamp, between.EndTimestamp = begun+10_000, begun+12_000
		few := query("orders", "all")
		few.MaxNum = 2
		tagged := query("orders", "t3")
		tagged.IndexType, tagged.MaxNum = protocol.IndexTag, 3
		tagAsKey := query("orders", "t3")
		tagAsKey.IndexType = protocol.IndexKey
		none := query("orders", "all")
		none.MaxNum = 0
		many := query("orders", "all")
		many.MaxNum = 1 << 20
		var newest []string
		for i := 16; i < 80; i++ {
			newest = append(newest, fmt.Sprint(i))
		}
		for name, test := range map[string]struct {
			request *protocol.QueryMessageRequest
			want    []string
		}{
			"one key of two":                 {query("orders", "k3"), []string{"3", "13", "23", "33", "43", "53", "63", "73"}},
			"a unique key, whatever maxNum":  {unique, []string{"7"}},
			"a unique key as a key":          {query("orders", "U7"), []string{"7"}},
			"a stretch of time":              {between, []string{"10", "11", "12"}},
			"the newest":                     {few, []string{"78", "79"}},
			"maxMsgsNumBatch":                {many, newest},
			"tags":                           {tagged, []string{"71", "75", "79"}},
			"tags are no keys":               {tagAsKey, nil},
			"no messages are wanted":         {none, nil},
			"another topic":                  {query("others", "k3"), nil},
			"both keys as one are not a key": {query("orders", "all k3"), nil},
		} {
			for _, codec := range []protocol.Codec{protocol.JSON, protocol.Binary} {
				c.codec = codec
				got, header := c.queried(test.request)
				code, remark, at := protocol.Success, "", last
				if test.want == nil {
					code, remark, at = protocol.QueryNotFound, "can not find message, maybe time range not correct", 0
				}
				if got.code != code || got.remark != remark || header.IndexLastUpdateTimestamp != at || (header.IndexLastUpdatePhyOffset > 0) != (at > 0) {
					t.Errorf("%s: %s, %q, %+v", name, protocol.ResponseName(got.code), got.remark, header)
				}
				var texts []string
				if test.want != nil {
					texts = bodies(got.records)
				}
				if diff := cmp.Diff(test.want, texts); diff != "" {
					t.Errorf("%s:\n%s", name, diff)
				}
			}
		}
	})
}

func TestTheIndexOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for run := range 3 {
		b := start(t, Dir(dir))
		c := dial(t, b)
		c.send(sending("orders", "KEYS", "k"), fmt.Sprint(run))
		got, _ := c.queried(query("orders", "k"))
		if diff := cmp.Diff([]string{"0", "1", "2"}[:run+1], bodies(got.records)); diff != "" {
			t.Error(diff)
		}
		stop(t, b)
	}
}

func TestWithoutAnIndexNoKeyIsFound(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.send(sending("orders", "KEYS", "k"), "x")
		if got, _ := c.queried(query("orders", "k")); got.code != protocol.QueryNotFound {
			t.Errorf("%s", protocol.ResponseName(got.code))
		}
	}, Conf("messageIndexEnable=false"))
}

func TestABadQueryIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		for _, h := range []*protocol.QueryMessageRequest{query("", "k"), query("orders", "")} {
			if resp := c.call(protocol.QueryMessage, h, nil); resp.Code != protocol.SystemError || !strings.Contains(resp.Remark, "missing") {
				t.Errorf("%+v: %s: %s", h, protocol.ResponseName(resp.Code), resp.Remark)
			}
		}
	})
}

func TestManyQueriesAtOnceAreAllAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		for i := range 20 {
			c.send(sending("orders", "KEYS", "k"), fmt.Sprint(i))
		}
		answers := make(chan int, 100)
		for range cap(answers) {
			other := dial(t, b)
			go func() {
				resp, err := other.try(t.Context(), protocol.QueryMessage, query("orders", "k"), nil)
				if err != nil {
					answers <- 0
					return
				}
				answers <- len(resp.Body)
			}()
		}
		want := 0
		for range cap(answers) {
			n := <-answers
			if want = max(want, n); n != want || n == 0 {
				t.Fatalf("%d bytes, want %d", n, want)
			}
		}
	})
}

func TestTheTraceTopicIsThereWhenItIsWanted(t *testing.T) {
	for conf, want := range map[string]map[string]protocol.Code{
		"traceTopicEnable=false":                             {"RMQ_SYS_TRACE_TOPIC": protocol.TopicNotExist},
		"traceTopicEnable=true":                              {"RMQ_SYS_TRACE_TOPIC": protocol.Success},
		"traceTopicEnable=true\nmsgTraceTopicName=OUR_TRACE": {"OUR_TRACE": protocol.Success, "RMQ_SYS_TRACE_TOPIC": protocol.TopicNotExist},
	} {
		t.Run(conf, func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *Broker, c *client) {
				for topic, code := range want {
					if resp := c.call(protocol.GetTopicConfig, &protocol.TopicRequest{Topic: topic}, nil); resp.Code != code {
						t.Errorf("%s: %s", topic, protocol.ResponseName(resp.Code))
					}
				}
			}, Conf(conf))
		})
	}
}
