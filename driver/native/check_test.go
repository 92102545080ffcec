package native

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

func sqlConfig(expression string) driver.SubscriptionConfig {
	return driver.SubscriptionConfig{Group: "g", Topics: []driver.TopicFilter{{Topic: "t", Type: driver.ExpressionSQL, Expression: expression}}}
}

func TestBrokersAreAskedAboutAnExpressionBeforeTheGroupIsJoined(t *testing.T) {
	for name, test := range map[string]struct {
		answer      protocol.Code // of the second broker; 0: success
		silent      bool
		unsupported bool
		refused     bool
	}{
		"success":               {},
		"filters are off":       {answer: protocol.SystemError, unsupported: true, refused: true},
		"no such code":          {answer: protocol.CodeNotSupported, unsupported: true, refused: true},
		"a wrong expression":    {answer: protocol.SubscriptionParse, refused: true},
		"a broker says nothing": {silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				cl := newCluster(t, "a", "b")
				cl.addTopic("t", 2)
				cl.brokers["a"].refuse(protocol.CheckClientConfig, protocol.Success)
				b := cl.brokers["b"]
				b.refuse(protocol.CheckClientConfig, test.answer)
				if test.silent {
					b.ignore(protocol.CheckClientConfig)
				}
				sub, err := cl.open().NewSubscription(sqlConfig("a > 1"), acking())
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				err = sub.Start(t.Context())
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("the start took %v", took)
				}
				var refused *message.BrokerError
				if errors.Is(err, message.ErrUnsupported) != test.unsupported || errors.As(err, &refused) != test.refused || (err != nil) != test.refused {
					t.Errorf("%v", err)
				}
				if test.unsupported && !strings.Contains(err.Error(), "enablePropertyFilter=true") {
					t.Errorf("no remedy: %v", err)
				}
				if refused == nil && len(b.requests(protocol.CheckClientConfig)) != 1 {
					t.Errorf("asked %d times", len(b.requests(protocol.CheckClientConfig)))
				}
				pass(time.Minute)
				b.mu.Lock()
				joined := len(b.members["g"]) > 0
				b.mu.Unlock()
				if joined == test.refused {
					t.Errorf("a member of the group: %v", joined)
				}
				bySQL := 0
				for _, p := range b.requests(protocol.PullMessage) {
					if p.fields["topic"] == "t" && p.fields["expressionType"] == "SQL92" {
						bySQL++
						if p.fields["subscription"] != "a > 1" || p.fields["sysFlag"] != "6" { // it waits, and has its own filter
							t.Errorf("sysFlag %s, subscription %q", p.fields["sysFlag"], p.fields["subscription"])
						}
					}
				}
				if bySQL == 0 && !test.refused {
					t.Error("no pull by SQL92")
				}
				if err := sub.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
