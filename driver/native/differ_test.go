package native

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/driver"
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
		"by an expression":            {`{"clientId":"other"},{"clientId":"US"}`, sql, []message.SubscriptionDifference{{Topic: "orders", Ours: "*", Theirs: "SQL92 a > 1"}}},
		"with an empty tag":           {`{"clientId":"US"}`, `"orders":{"topic":"orders","subString":""}`, nil},
		"with nothing":                {`{"clientId":"other"},{"clientId":"US"}`, ``, []message.SubscriptionDifference{{Topic: "orders", Ours: "*"}}},
		"with what is no expression":  {`{"clientId":"other"},{"clientId":"US"}`, `"orders":{"topic":"orders","subString":"||"}`, []message.SubscriptionDifference{{Topic: "orders", Ours: "*", Theirs: "||"}}},
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

// Versions of rocketmq-client-go are in ns, so that none of ours is newer by time.
func TestAFilterFromTheFutureIsOutdoneWhenItsMemberHasLeft(t *testing.T) {
	t.Parallel()
	const theirs = `"orders":{"topic":"orders","subString":"cash","subVersion":1795292461000000000}`
	for name, tt := range map[string]struct {
		table []string // what is in the group, look by look, beside us
		entry string
		want  int64 // the version that ours has in the end; 0: as before
	}{
		"alone":                    {[]string{""}, theirs, 1795292461000000001},
		"the other is there":       {[]string{"odd", "odd", "odd"}, theirs, 0},
		"the other has left":       {[]string{"odd like", "like"}, theirs, 1795292461000000001},
		"that is done once":        {[]string{"odd like", "like", "like"}, theirs, 1795292461000000001},
		"who left wanted the same": {[]string{"odd like", "odd"}, theirs, 1795292461000000001},
		"another topic":            {[]string{""}, `"refunds":{"topic":"refunds","subString":"*","subVersion":1795292461000000000}`, 0},
		"no version is newer":      {[]string{""}, `"orders":{"topic":"orders","subString":"cash","subVersion":9223372036854775807}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := newCluster(t, "a").open()
				s := newMember(t, cl).(*subscription)
				before := s.filter["orders"].version.Load()
				if tt.want == 0 {
					tt.want = before
				}
				for _, others := range tt.table {
					members := `{"clientId":"` + cl.id + `"}`
					for _, id := range strings.Fields(others) {
						members += `,{"clientId":"` + id + `"}`
					}
					s.compareWith([]byte(`{"connectionSet":[` + members + `],"subscriptionTable":{` + tt.entry + `}}`))
				}
				data := s.filters()
				i := slices.IndexFunc(data, func(d protocol.SubscriptionData) bool { return d.Topic == "orders" })
				if got := data[i].SubVersion; got != tt.want {
					t.Errorf("version %d, want %d; it was %d", got, tt.want, before)
				}
			})
		})
	}
}

// With ACL 2.0 who may consume need not be allowed to see who else does.
func TestAMemberThatMayNotCompareSaysSoOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a")
		c.addTopic("orders", 1)
		b := c.brokers["a"]
		b.refuse(protocol.GetConsumerConnections, protocol.NoPermission)
		cl := c.open(func(cfg *driver.Config) {
			cfg.Credentials = driver.Credentials{AccessKey: "member", SecretKey: "secret-of-member"}
		})
		subscribe(t, cl, acking(), driver.SubscriptionConfig{From: driver.FromFirst}, "orders")
		const remedy = "updateAcl -c <cluster> -s User:member -r Group:group -a Sub,Get -d Allow"
		says := func(n, asked int) {
			t.Helper()
			if got := strings.Count(c.logs.String(), remedy); got != n || !strings.Contains(c.logs.String(), "level=INFO") {
				t.Errorf("said %d times, want %d", got, n)
			}
			if got := len(b.requests(protocol.GetConsumerConnections)); got != asked {
				t.Errorf("asked %d times, want %d", got, asked)
			}
		}
		pass(deniedAgain / 2)
		says(1, 1)
		pass(deniedAgain)
		says(1, 2)
		pass(deniedAgain)
		says(1, 3)
		b.on(protocol.GetConsumerConnections, nil)
		pass(deniedAgain)
		allowed := len(b.requests(protocol.GetConsumerConnections))
		pass(deniedAgain)
		if got := len(b.requests(protocol.GetConsumerConnections)) - allowed; got < 60 {
			t.Errorf("asked %d times in an hour that it may", got)
		}
	})
}

// Queues that are taken on are pulled with a newer version of the filter. Brokers refuse
// that until a heartbeat has told them, which must not wait for a broker that has vanished.
func TestAVanishedBrokerHoldsUpNoPullsOfOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.addTopic("orders", 2)
		c.addTopic("refunds", 2)
		a := c.brokers["a"]
		told := a.comparesVersions()
		subscribe(t, c.open(), acking(), driver.SubscriptionConfig{From: driver.FromFirst}, "orders", "refunds")
		pass(time.Minute)
		a.join("group", "!")
		c.brokers["b"].join("group", "!")
		pass(time.Minute)
		before, _ := told()
		c.net.Freeze(c.brokers["b"].addr)
		refused, most := before, 0
		for range 100 { // whose turn it is to be asked who the members are is random
			a.part("group", "!")
			pass(5 * time.Second)
			if refused, most = told(); refused > before {
				break
			}
			a.join("group", "!")
			pass(time.Second)
		}
		if refused == before || most > 3 {
			t.Errorf("%d pulls were refused, %d of one queue in a row, by the broker that is there", refused-before, most)
		}
		c.net.Restore(c.brokers["b"].addr)
	})
}
