package native

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// What a broker may answer, and what that says of a member of group late that takes all
// of topic orders.
func TestABrokersTableIsComparedWithOurs(t *testing.T) {
	t.Parallel()
	all, sql := `"orders":{"topic":"orders","subString":"*"}`, `"orders":{"topic":"orders","expressionType":"SQL92","subString":" a > 1 "}`
	for name, tt := range map[string]struct {
		members, table string
		want           []message.SubscriptionDifference
	}{
		"without the retries":         {`{"clientId":"other"},{"clientId":"US"}`, all, nil},
		"without us":                  {`{"clientId":"other"}`, sql, nil},
		"with nobody":                 {``, ``, nil},
		"by an expression":            {`{"clientId":"US"}`, sql, []message.SubscriptionDifference{{Topic: "orders", Ours: "*", Theirs: "SQL92 a > 1"}}},
		"with an empty tag":           {`{"clientId":"US"}`, `"orders":{"topic":"orders","subString":""}`, nil},
		"with nothing":                {`{"clientId":"US"}`, ``, []message.SubscriptionDifference{{Topic: "orders", Ours: "*"}}},
		"with what is no expression":  {`{"clientId":"US"}`, `"orders":{"topic":"orders","subString":"||"}`, []message.SubscriptionDifference{{Topic: "orders", Ours: "*", Theirs: "||"}}},
		"that cannot be read: ignore": {`{`, `{`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := newCluster(t, "a").open()
				s := newMember(t, cl).(*subscription)
				members := strings.ReplaceAll(tt.members, "US", cl.id)
				s.compareWith([]byte(`{"connectionSet":[` + members + `],"subscriptionTable":{` + tt.table + `}}`))
				var got []message.SubscriptionDifference
				if s.differ.err != nil {
					got = s.differ.err.Topics
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// Brokers without a connection are not asked, so that nothing waits for one.
func TestABrokerThatIsNotConnectedIsPassedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1, "a")
		cl := c.open()
		s := newMember(t, cl).(*subscription)
		if _, err := cl.routes.forReading(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		s.compare(true)
		if !s.differ.compared.IsZero() {
			t.Error("it was asked")
		}
		if _, err := cl.brokers.get(c.brokers["a"].addr).connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.compare(true)
		s.compare(true)
		synctest.Wait()
		if n := len(c.brokers["a"].requests(protocol.GetConsumerConnections)); n != 1 {
			t.Errorf("%d requests, want one in %v", n, compareAgain)
		}
	})
}
