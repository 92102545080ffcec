package conformance_test

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/admin"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/message"
)

const (
	clusterCase  = "mixed cluster"
	roomCase     = "queues by machine room"
	slowCase     = "slow broker avoided"
	clientGoCase = "both with rocketmq-client-go"
	targetCase   = "admin on one broker"
	slaveCase    = "reads from a slave"
)

// clusterRows are those of clusterTable, in the order in which they run.
func clusterRows() []row {
	return []row{
		{clusterCase, "both brokers register with both name servers; the SDK finds and uses both through either, and one that leaves is forgotten"},
		{roomCase, "a group of one room gets the queues of the brokers there, whose names say it"},
		{slowCase, "with AvoidSlow a broker of ours that answers late gets no messages for a while, and then again"},
		{clientGoCase, "the two before with the driver over rocketmq-client-go"},
		{targetCase, "topics and groups are made, listed and deleted where Target says, by name and by address"},
		{slaveCase, "the master of Apache's broker is killed: a group that begins then and a puller get its messages from its slave; broker-lite has no slaves, and rocketmq-client-go asks only masters where a group is"},
	}
}

// One cluster of both kinds: a name server and a broker of Apache's, a name server
// and a broker of ours, and every broker registers with every name server. The brokers'
// names say in which room they are.
func TestClustersCanBeMixed(t *testing.T) {
	apache.Require(t)
	takeLane(t)
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			newMixed(t, version).run()
		})
	}
}

// mixed is such a cluster.
type mixed struct {
	*stand
	version string
	theirs  *apache.Server
	ours    *server
	both    []string // name servers
	topic   string
	slave   <-chan slaveStart
}

func newMixed(t *testing.T, version string) *mixed {
	theirNames := startApacheWith(t, apache.Options{Version: version, Role: apache.RoleNameServer})
	log := newLog(t)
	ours := startLite(t, log, false, brokerlite.Name(eastern, "DefaultCluster"), brokerlite.NameServers(theirNames.NameServer()))
	c := &mixed{
		stand:   &stand{T: t, leg: legNamed("broker-lite"), c: testCase{name: "mixed " + strings.ReplaceAll(version, ".", "")}, server: ours, log: log},
		version: version, ours: ours, both: []string{theirNames.NameServer(), ours.lite.NameServer()},
	}
	c.theirs = startApacheWith(t, apache.Options{
		Version: version, Role: apache.RoleBroker, NameServer: strings.Join(c.both, ";"), BrokerConf: map[string]string{"brokerName": western},
	})
	c.topic = c.make()
	c.slave = c.startSlave()
	return c
}

// make makes a topic of 2 queues on either broker.
func (c *mixed) make() string {
	c.Helper()
	topic := c.newTopic()
	for _, addr := range []string{c.ours.broker, c.theirs.BrokerAddr()} {
		c.server = &server{nameServers: c.both, broker: addr, dial: new(net.Dialer).DialContext}
		c.createTopic(topic, 2)
	}
	return topic
}

func (c *mixed) run() {
	results.track(c.T, clusterTable, c.version, clusterCase)
	for i, names := range c.both {
		c.through(names, i+1)
	}
	results.track(c.T, clusterTable, c.version, roomCase)
	c.takesItsRoom(c.make(), eastern, western)
	results.track(c.T, clusterTable, c.version, slowCase)
	c.avoidsTheSlow(c.make(), c.ours.lite, eastern)
	results.track(c.T, clusterTable, c.version, clientGoCase)
	other := *c.stand
	other.leg = legNamed("Apache 5.4.0, client-go driver")
	other.takesItsRoom(c.make(), eastern, western)
	other.avoidsTheSlow(c.make(), c.ours.lite, eastern)

	results.track(c.T, clusterTable, c.version, targetCase)
	our := admin.Broker{Cluster: "DefaultCluster", Name: eastern, Addr: c.ours.broker}
	their := admin.Broker{Cluster: "DefaultCluster", Name: western, Addr: c.theirs.BrokerAddr()}
	c.mindsItsTarget(their, our)
	c.mindsItsTarget(our, their)

	results.track(c.T, clusterTable, c.version, slaveCase)
	c.readsFromTheSlave()

	c.eventually("the broker that has left is gone from both name servers", func() bool {
		return !c.routeHas(`"`+western+`"`) && c.routeHas(`"`+eastern+`"`)
	})
	if r := c.stand.send(c.producer(c.openAt(slices.Clone(c.both))), message.New(c.topic, []byte("after"))); r.Queue.Broker != eastern {
		c.Errorf("%v", r)
	}
}

// routeHas says that the topic's route has a text, at every name server.
func (c *mixed) routeHas(text string) bool {
	c.Helper()
	for _, names := range c.both {
		if !strings.Contains(string(c.ask(names, codeRoute, map[string]string{"topic": c.topic}).body), text) {
			return false
		}
	}
	return true
}

// through sends and receives by one of the name servers; so many have been tried with it.
func (c *mixed) through(names string, tried int) {
	c.Helper()
	c.eventually("name server "+names+" knows both brokers", func() bool {
		route := string(c.ask(names, codeRoute, map[string]string{"topic": c.topic}).body)
		return strings.Contains(route, `"`+eastern+`"`) && strings.Contains(route, `"`+western+`"`)
	})
	client := c.openAt([]string{names})
	p := c.producer(client)
	used := map[string]bool{}
	var sent []string
	for _, body := range numbered("through "+names, 16) {
		r := c.stand.send(p, message.New(c.topic, []byte(body)))
		used[r.Queue.Broker] = true
		sent = append(sent, r.MessageID)
	}
	if len(used) != 2 {
		c.Errorf("16 messages through %s went to %v only", names, used)
	}
	got := c.receive(client, c.topic).ids(16 * tried) // those of the others too
	for _, id := range sent {
		if got[id] == nil {
			c.Errorf("%s did not arrive", id)
		}
	}
}
