package native_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// logged is a log that is read while it is written.
type logged struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// count is how many lines of a level speak of subscriptions.
func (l *logged) count(level string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, "level="+level) && strings.Contains(line, "different subscriptions") {
			n++
		}
	}
	return n
}

// wants is a change of a configuration: a tag expression for each topic.
func wants(topics ...driver.TopicFilter) func(*driver.SubscriptionConfig) {
	return func(cfg *driver.SubscriptionConfig) { cfg.Topics = topics }
}

// lastingTrouble is what a member's state says of the others' subscriptions.
func lastingTrouble(m *member) *message.SubscriptionsDifferError {
	_, err := m.Subscription.(driver.Sharing).Assigned()
	var differ *message.SubscriptionsDifferError
	if errors.As(err, &differ) && !errors.Is(err, message.ErrSubscriptionsDiffer) {
		panic("not an ErrSubscriptionsDiffer")
	}
	return differ
}

func TestMembersWithOtherFiltersAreTold(t *testing.T) {
	for name, change := range map[string]func(*driver.SubscriptionConfig){
		"clustering":   func(*driver.SubscriptionConfig) {},
		"broadcasting": func(cfg *driver.SubscriptionConfig) { cfg.Broadcast = &driver.Broadcast{Dir: t.TempDir()} },
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(t *testing.T, s *server) {
				if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x"))); err != nil {
					t.Fatal(err) // and there is a topic, of which the younger member is the last to take queues
				}
				var log logged
				s.log = &log
				a := s.join("group", nil, nil, wants(driver.TopicFilter{Topic: "orders", Expression: "card"}), change)
				pass(time.Second)
				s.log = nil
				s.join("group", nil, nil, wants(driver.TopicFilter{Topic: "orders", Expression: "transfer || cash"}), change)
				pass(4 * time.Minute)
				if n := log.count("WARN"); n < 2 || n > 5 || log.count("ERROR") > 0 || lastingTrouble(a) != nil {
					t.Errorf("while it may be a deploy: %d warnings, state %v, log\n%s", n, lastingTrouble(a), &log.b)
				}
				pass(6 * time.Minute)
				if n := log.count("ERROR"); n < 2 || n > 6 {
					t.Errorf("%d errors in the log\n%s", n, &log.b)
				}
				want := &message.SubscriptionsDifferError{Group: "group", Topics: []message.SubscriptionDifference{{Topic: "orders", Ours: "card", Theirs: "cash || transfer"}}}
				got := lastingTrouble(a)
				if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(message.SubscriptionsDifferError{}, "Since", "Members")); diff != "" {
					t.Fatalf("-want +got:\n%s", diff)
				}
				if age := time.Since(got.Since); len(got.Members) != 1 || age < 9*time.Minute || age > 10*time.Minute {
					t.Errorf("members %v, for %v", got.Members, age)
				}
			})
		})
	}
}

// Topics are those of the last heartbeat, so that each member's pulls are refused by
// turns; when the other member is gone it ends.
func TestMembersWithOtherTopicsAreTold(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		var logA, logB logged
		snd := s.sender(driver.SenderConfig{})
		for _, topic := range []string{"orders", "refunds"} {
			if _, err := s.send(snd, 0, message.New(topic, []byte("x"))); err != nil {
				t.Fatal(err)
			}
		}
		s.log = &logA
		a := s.join("group", []string{"orders"}, nil)
		pass(13 * time.Second)
		s.log = &logB
		b := s.join("group", []string{"refunds"}, nil)
		pass(8 * time.Minute)
		want := []message.SubscriptionDifference{{Topic: "orders", Ours: "*"}, {Topic: "refunds", Theirs: "*"}}
		got := lastingTrouble(a)
		if got == nil {
			t.Fatalf("nothing is said; log\n%s\nof the other\n%s", &logA.b, &logB.b)
		}
		if diff := cmp.Diff(want, got.Topics); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if logA.count("ERROR") == 0 || lastingTrouble(b) == nil || logB.count("ERROR") == 0 {
			t.Errorf("errors %d and %d, state of the other %v", logA.count("ERROR"), logB.count("ERROR"), lastingTrouble(b))
		}
		if err := b.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(4 * time.Minute)
		if err := lastingTrouble(a); err != nil {
			t.Errorf("alone again: %v", err)
		}
	})
}

func TestMembersThatWantTheSameAreLeftAlone(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		var log logged
		s.log, s.namespace = &log, "shop"
		a := s.join("group", nil, nil, wants(driver.TopicFilter{Topic: "orders", Expression: "card || cash"}, driver.TopicFilter{Topic: "refunds"}))
		pass(7 * time.Second)
		b := s.join("group", nil, nil, wants(driver.TopicFilter{Topic: "refunds", Expression: "*"}, driver.TopicFilter{Topic: "orders", Expression: "cash||card"}))
		if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x"))); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		if log.count("WARN")+log.count("ERROR") > 0 || lastingTrouble(a) != nil || lastingTrouble(b) != nil {
			t.Errorf("%v, %v\n%s", lastingTrouble(a), lastingTrouble(b), &log.b)
		}
	})
}

// Pulls that are refused for long are told of, also by a broker that does not say what it
// knows; and one that is silent about it holds nothing up.
func TestRefusedPullsAreTold(t *testing.T) {
	for _, code := range []int{24, 25} {
		withCode := func(t *testing.T, s *server) {
			var log logged
			s.log = &log
			if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x"))); err != nil {
				t.Fatal(err)
			}
			defer s.b.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
				return brokerlite.DropRequest(), r.Code == 203
			})()
			a := s.join("group", []string{"orders"}, nil)
			pass(3 * time.Second)
			if len(a.all()) != 1 {
				t.Fatal("held up by a question that has no answer")
			}
			stop := s.b.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
				return brokerlite.Answer(code, "the consumer's subscription is another"), r.Code == 11
			})
			pass(24 * time.Second) // with the pull that waited
			if log.count("WARN") > 0 {
				t.Errorf("told of refusals that the next heartbeat ends:\n%s", &log.b)
			}
			pass(8 * time.Minute)
			e := lastingTrouble(a)
			var refusal *message.BrokerError
			if e == nil || !errors.As(e, &refusal) || refusal.Code != code || log.count("WARN") == 0 || log.count("ERROR") == 0 || log.count("ERROR") > 4 {
				t.Errorf("state %v, log\n%s", e, &log.b)
			}
			stop()
			pass(4 * time.Minute)
			if e := lastingTrouble(a); e != nil {
				t.Errorf("after the end of it: %v", e)
			}
		}
		t.Run(map[int]string{24: "SUBSCRIPTION_NOT_EXIST", 25: "SUBSCRIPTION_NOT_LATEST"}[code], func(t *testing.T) { withServer(t, withCode) })
	}
}

// Clients of one process and machine have an id each, by which both get queues.
func TestTwoClientsOfAProcessShareTheQueues(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		var mu sync.Mutex // guards ids
		ids := map[string]bool{}
		defer s.b.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
			var beat struct {
				ClientID        string
				ConsumerDataSet []any
			}
			if r.Code == 34 && json.Unmarshal(r.Body, &beat) == nil && len(beat.ConsumerDataSet) > 0 {
				mu.Lock()
				ids[beat.ClientID] = true
				mu.Unlock()
			}
			return brokerlite.Pass(), false
		})()
		if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x"))); err != nil {
			t.Fatal(err)
		}
		a, b := s.join("group", []string{"orders"}, nil), s.join("group", []string{"orders"}, nil)
		pass(time.Minute)
		mu.Lock()
		if len(ids) != 2 {
			t.Errorf("client ids %v", ids)
		}
		mu.Unlock()
		owners := map[message.Queue]int{}
		for _, m := range []*member{a, b} {
			mine, err := m.Subscription.(driver.Sharing).Assigned()
			if err != nil {
				t.Error(err)
			}
			n := 0
			for _, q := range mine {
				if q.Topic == "orders" {
					owners[q]++
					n++
				}
			}
			if n < 1 {
				t.Errorf("a member has none of the topic's queues: %v", mine)
			}
		}
		for q, n := range owners {
			if n != 1 {
				t.Errorf("%v has %d owners", q, n)
			}
		}
	})
}

// A broker keeps the newest filter of a group. When the member that had it has left, the
// others get what they want again.
func TestAMembersFilterLeavesWithIt(t *testing.T) {
	broadcasting := func(cfg *driver.SubscriptionConfig) { cfg.Broadcast = &driver.Broadcast{Dir: t.TempDir()} }
	for name, tt := range map[string]struct {
		others int // that want the same
		change func(*driver.SubscriptionConfig)
		within time.Duration
		denied bool // the broker does not let members compare
	}{
		"clustering":             {0, func(*driver.SubscriptionConfig) {}, 2 * time.Second, false},
		"clustering unseen":      {0, func(*driver.SubscriptionConfig) {}, 2 * time.Second, true},
		"clustering with others": {9, func(*driver.SubscriptionConfig) {}, 2 * time.Second, false}, // most of them without a queue
		"broadcasting":           {0, broadcasting, time.Minute, false},
		"broadcasting to others": {2, broadcasting, time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(t *testing.T, s *server) {
				defer s.b.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
					return brokerlite.Answer(16, "no"), tt.denied && r.Code == 203
				})()
				snd := s.sender(driver.SenderConfig{})
				send := func(tag string) {
					t.Helper()
					if _, err := s.send(snd, 0, message.New("orders", []byte("x"), message.Tag(tag))); err != nil {
						t.Fatal(err)
					}
				}
				send("none")
				ours := wants(driver.TopicFilter{Topic: "orders", Expression: "card"})
				members := []*member{s.join("group", nil, nil, ours, tt.change)}
				for range tt.others {
					members = append(members, s.join("group", nil, nil, ours, tt.change))
				}
				pass(time.Minute)
				odd := s.join("group", nil, nil, wants(driver.TopicFilter{Topic: "orders", Expression: "cash"}), tt.change)
				pass(time.Minute)
				if err := odd.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
				pass(tt.within)
				send("card")
				pass(20 * time.Second) // with a pull that waits
				want := 1
				if tt.within == time.Minute {
					want = len(members)
				}
				got := 0
				for _, m := range members {
					got += len(m.all())
				}
				if got != want {
					t.Errorf("%d of %d members' deliveries after the member with another filter has left", got, want)
				}
				pass(7 * time.Minute)
				for _, m := range members {
					if err := lastingTrouble(m); err != nil {
						t.Errorf("it is long gone: %v", err)
					}
				}
			})
		})
	}
}
