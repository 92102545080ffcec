package native_test

import (
	"sync/atomic"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// A member that crashes again and again moves queues, which is no reason to take a lasting
// difference of two others for that member's.
func TestMembersThatDifferAreToldWhileOthersComeAndGo(t *testing.T) {
	for name, every := range map[string]time.Duration{"each 10 s": 10 * time.Second, "each 30 s": 30 * time.Second, "each minute": time.Minute} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(t *testing.T, s *server) {
				if _, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x"))); err != nil {
					t.Fatal(err)
				}
				var log logged
				s.log = &log
				card, cash := wants(driver.TopicFilter{Topic: "orders", Expression: "card"}), wants(driver.TopicFilter{Topic: "orders", Expression: "cash"})
				a, b := s.join("group", nil, nil, card), s.join("group", nil, nil, cash)
				for began := time.Now(); time.Since(began) < 15*time.Minute; pass(every / 2) {
					m := s.join("group", nil, nil, card)
					pass(every / 2)
					if err := m.Stop(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if lastingTrouble(a) == nil && lastingTrouble(b) == nil {
					t.Errorf("nobody says that they differ; %d warnings, %d errors", log.count("WARN"), log.count("ERROR"))
				}
			})
		})
	}
}

// What a member that comes and goes costs the others.
func TestAStormOfMembersIsNoStormOfHeartbeats(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		snd := s.sender(driver.SenderConfig{})
		send := func() {
			if _, err := s.send(snd, 0, message.New("orders", []byte("x"), message.Tag("card"))); err != nil {
				t.Fatal(err)
			}
		}
		send()
		card := wants(driver.TopicFilter{Topic: "orders", Expression: "card"})
		const steady, storms = 8, 100
		members := make([]*member, 0, steady)
		for range steady {
			members = append(members, s.join("group", nil, nil, card))
		}
		pass(time.Minute)
		var beats, pulls atomic.Int64
		defer s.b.Intercept(func(r brokerlite.Request) (brokerlite.Reaction, bool) {
			switch r.Code {
			case 34:
				beats.Add(1)
			case 11:
				pulls.Add(1)
			}
			return brokerlite.Reaction{}, false
		})()
		for range storms {
			m := s.join("group", nil, nil, card)
			send()
			pass(500 * time.Millisecond)
			if err := m.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			members = append(members, m)
			pass(500 * time.Millisecond)
		}
		t.Logf("%d heartbeats, %d pulls in %d joins and leaves of one among %d", beats.Load(), pulls.Load(), storms, steady)
		if got := beats.Load(); got > storms*(2*2*(steady+1)+4) {
			t.Errorf("%d heartbeats", got)
		}
		pass(time.Minute)
		ids := map[string]bool{}
		for _, m := range members {
			for _, d := range m.all() {
				ids[d.ID] = true
			}
		}
		if len(ids) != storms+1 {
			t.Errorf("%d of %d messages", len(ids), storms+1)
		}
	})
}
