package conformance_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

type slaveStart struct {
	s   *apache.Server
	err error
}

// startSlave starts a slave of Apache's broker while other things go on. It has its
// master's topics from the start: 5.4.0 asks for them a minute later only.
func (c *mixed) startSlave() <-chan slaveStart {
	c.Helper()
	dir := c.TempDir()
	const topics = "store/config/topics.json"
	known, err := os.ReadFile(filepath.Join(c.theirs.Dir(), topics))
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, filepath.Dir(topics)), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, topics), known, 0o644)
	}
	if err != nil || !strings.Contains(string(known), c.topic) {
		c.Fatalf("the master's topics: %s, %v", known, err)
	}
	ctx := c.Context()
	o := apache.Options{
		Version: c.version, Dir: dir, Role: apache.RoleBroker, NameServer: strings.Join(c.both, ";"), Log: newLog(c.T),
		BrokerConf: map[string]string{"brokerName": western, "brokerId": "1", "brokerRole": "SLAVE", "slaveReadEnable": "true", "mappedFileSizeCommitLog": strconv.Itoa(64 << 20)},
		JVM:        []string{"-Xms256m", "-Xmx512m", "-XX:MaxDirectMemorySize=512m", "-XX:TieredStopAtLevel=1"},
	}
	ready := make(chan slaveStart, 1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		s, err := apache.Start(ctx, o)
		ready <- slaveStart{s, err}
	}()
	c.Cleanup(func() {
		<-over
		select {
		case started := <-ready: // the test did not get as far
			if started.err == nil {
				started.err = started.s.Kill()
			}
			c.Log("the slave was not needed: ", started.err)
		default:
		}
	})
	return ready
}

// readsFromTheSlave kills the master: its messages are read from its slave.
func (c *mixed) readsFromTheSlave() {
	c.Helper()
	started := <-c.slave
	if started.err != nil {
		c.Fatal(started.err)
	}
	slave := started.s
	defer func() {
		if c.Failed() {
			c.Log(slave.Logs())
		}
		if err := slave.Kill(); err != nil {
			c.Error(err)
		}
	}()
	p, sent, theirs := c.producer(c.openAt(c.both)), map[string]message.Queue{}, 0
	for _, body := range numbered("before", 16) {
		r := c.stand.send(p, message.New(c.topic, []byte(body)))
		if sent[r.MessageID] = r.Queue; r.Queue.Broker == western {
			theirs++
		}
	}
	c.eventually("both name servers know the slave", func() bool { return c.routeHas(`"` + slave.BrokerAddr() + `"`) })
	ends := c.ends(c.theirs.BrokerAddr())
	c.eventually("the slave has what its master has", func() bool { return c.ends(slave.BrokerAddr()) == ends })
	if err := c.theirs.Kill(); err != nil {
		c.Fatal(err)
	}
	c.eventually("both name servers know that the master is gone", func() bool {
		for _, names := range c.both {
			if strings.Contains(string(c.ask(names, codeRoute, map[string]string{"topic": c.topic}).body), `"`+c.theirs.BrokerAddr()+`"`) {
				return false
			}
		}
		return true
	})
	c.gotAll(c.openAt(c.both), sent)
	c.pulledFrom(c.openAt(c.both), western, theirs)
}

// ends are where the topic's queues end on a broker.
func (c *mixed) ends(addr string) (ends [2]int) {
	c.Helper()
	for q := range ends {
		ends[q] = c.offsetOf(c.ask(addr, 30, map[string]string{"topic": c.topic, "queueId": strconv.Itoa(q)})) // GET_MAX_OFFSET
	}
	return ends
}

// gotAll has a new group receive the topic, in which there are others than those sent.
func (c *mixed) gotAll(client *rocketkit.Client, sent map[string]message.Queue) {
	c.Helper()
	in := c.receive(client, c.topic)
	missing := len(sent)
	ctx := c.soon()
	for seen := map[string]bool{}; missing > 0; {
		select {
		case d := <-in.ch:
			if _, ok := sent[d.ID]; ok && !seen[d.ID] {
				seen[d.ID] = true
				missing--
			}
		case <-ctx.Done():
			c.Fatalf("%d of %d messages did not arrive", missing, len(sent))
		}
	}
}

// pulledFrom reads a broker's queues from their beginning.
func (c *mixed) pulledFrom(client *rocketkit.Client, broker string, least int) {
	c.Helper()
	p := c.puller(client, c.group(), consumer.Subscription{Topic: c.topic})
	qs, err := p.Queues(c.soon())
	if err != nil {
		c.Fatal(err)
	}
	n := 0
	for _, q := range qs {
		if q.Broker != broker {
			continue
		}
		c.seek(p, q, consumer.Begin())
		got, err := p.Pull(c.soon(), q, 32)
		if err != nil || got.Status != consumer.PullFound {
			c.Errorf("queue %v: %v, %v", q, got.Status, err)
		}
		n += len(got.Messages)
	}
	if n < least {
		c.Errorf("pulled %d messages of broker %s, want %d and more", n, broker, least)
	}
}
