package conformance_test

import (
	"net"
	"slices"
	"strings"
	"testing"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/message"
)

const (
	clusterCase  = "mixed cluster"
	clusterAbout = "both brokers register with both name servers; the SDK finds and uses both through either, and one that leaves is forgotten"
)

// One cluster of both kinds: a name server and a broker of Apache's, a name server
// and a broker of ours, and every broker registers with every name server.
func TestClustersCanBeMixed(t *testing.T) {
	apache.Require(t)
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			results.track(t, clusterTable, version, clusterCase)
			theirNames := startApacheWith(t, apache.Options{Version: version, Role: apache.RoleNameServer})
			log := newLog(t)
			ours := startLite(t, log, false, brokerlite.Name("broker-lite", "DefaultCluster"), brokerlite.NameServers(theirNames.NameServer()))
			both := []string{theirNames.NameServer(), ours.lite.NameServer()}
			theirs := startApacheWith(t, apache.Options{Version: version, Role: apache.RoleBroker, NameServer: strings.Join(both, ";")})

			s := &stand{T: t, leg: legNamed("broker-lite"), c: testCase{name: "mixed " + strings.ReplaceAll(version, ".", "")}, server: ours, log: log}
			topic := s.newTopic()
			for _, addr := range []string{ours.broker, theirs.BrokerAddr()} {
				s.server = &server{nameServers: both, broker: addr, dial: new(net.Dialer).DialContext}
				s.createTopic(topic, 2)
			}
			for i, names := range both {
				s.eventually("name server "+names+" knows both brokers", func() bool {
					route := string(s.ask(names, codeRoute, map[string]string{"topic": topic}).body)
					return strings.Contains(route, `"broker-lite"`) && strings.Contains(route, `"`+theirs.BrokerName()+`"`)
				})
				client := s.openAt([]string{names})
				p := s.producer(client)
				used := map[string]bool{}
				var sent []string
				for _, body := range numbered("through "+names, 16) {
					r := s.send(p, message.New(topic, []byte(body)))
					used[r.Queue.Broker] = true
					sent = append(sent, r.MessageID)
				}
				if len(used) != 2 {
					t.Errorf("16 messages through %s went to %v only", names, used)
				}
				got := s.receive(client, topic).ids(16 * (i + 1)) // those of the first too
				for _, id := range sent {
					if got[id] == nil {
						t.Errorf("%s did not arrive", id)
					}
				}
			}
			if err := theirs.Stop(); err != nil {
				t.Error(err)
			}
			for _, names := range both {
				s.eventually("the broker that has left is gone from "+names, func() bool {
					route := string(s.ask(names, codeRoute, map[string]string{"topic": topic}).body)
					return strings.Contains(route, `"broker-lite"`) && !strings.Contains(route, `"`+theirs.BrokerName()+`"`)
				})
			}
			if r := s.send(s.producer(s.openAt(slices.Clone(both))), message.New(topic, []byte("after"))); r.Queue.Broker != "broker-lite" {
				t.Errorf("%v", r)
			}
		})
	}
}
