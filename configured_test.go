package rocketkit_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/consumer"
)

// A group that is configured and has no consumer is most likely a slip of the pen.
func TestRunNamesConfiguredGroupsThatAreNotUsed(t *testing.T) {
	const says = `msg="a consumer group is configured and has no consumer in this program, so that what is configured has no effect"`
	line := func(level, group, near string) string {
		return "level=" + level + " " + says + " group=" + group + ` "nearest in use"=` + near + "\n"
	}
	idle := func(group string) string { // which the consumers of this test are
		return `level=WARN msg="a consumer was made and not started, so that its handlers get nothing; give it to Run" group=` + group + "\n"
	}
	subscription := consumer.Subscription{Topic: "orders"}
	for name, tt := range map[string]struct {
		configured []string
		used       func(t *testing.T, c *rocketkit.Client)
		want       string
	}{
		"a typo": {[]string{"pay_consmer", "shop"}, func(t *testing.T, c *rocketkit.Client) { consumersOf(t, c, "pay_consumer", "shop") },
			line("WARN", "pay_consmer", "pay_consumer") + idle("pay_consumer") + idle("shop")},
		"nothing like it":   {[]string{"pay", "audit"}, func(t *testing.T, c *rocketkit.Client) { consumersOf(t, c, "pay") }, line("WARN", "audit", `""`) + idle("pay")},
		"without consumers": {[]string{"pay"}, func(*testing.T, *rocketkit.Client) {}, line("INFO", "pay", `""`)},
		"all are used": {[]string{"pay", "fetched", "pulled", "popped"}, func(t *testing.T, c *rocketkit.Client) {
			consumersOf(t, c, "pay")
			f, err := c.NewFetcher("fetched", []consumer.Subscription{subscription})
			if err != nil {
				t.Fatal(err)
			}
			p, err := c.NewPuller("pulled", subscription)
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.NewSimpleConsumer("popped", []consumer.Subscription{subscription})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _, _ = f.State(), p.State(), s.State() }) // the program has them
		}, idle("pay")},
		"one that runs": {nil, func(t *testing.T, c *rocketkit.Client) {
			for _, k := range consumersOf(t, c, "pay") {
				if err := k.Start(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, func(t *testing.T, s cluster) {
				cfg := rocketkit.Config{NameServers: []string{s.NameServer()}}
				for _, group := range tt.configured {
					cfg.Consumers = append(cfg.Consumers, config.Consumer{Group: group})
				}
				var log bytes.Buffer
				reach, logger := rocketkit.WithDial(s.Dial), rocketkit.WithLogger(timeless(&log))
				one, err := rocketkit.Open(t.Context(), cfg, reach, logger)
				if err != nil {
					t.Fatal(err)
				}
				// A second client may use what the first does not, as in a migration from one
				// driver to another.
				two, err := rocketkit.Open(t.Context(), cfg, reach, logger)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				tt.used(t, two)
				ended := make(chan error)
				go func() { ended <- rocketkit.Run(ctx, one, rocketkit.Within(time.Minute, two)) }()
				synctest.Wait()
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				var got strings.Builder
				for l := range strings.Lines(log.String()) {
					if strings.Contains(l, says) || strings.Contains(l, "made and not started") {
						got.WriteString(l)
					}
				}
				if diff := cmp.Diff(tt.want, got.String()); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// consumersOf makes a consumer of each group.
func consumersOf(t *testing.T, c *rocketkit.Client, groups ...string) (all []*consumer.Consumer) {
	t.Helper()
	for _, group := range groups {
		k, err := c.NewConsumer(mux(group))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	return all
}
