package register

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/internal/remoting/memnet"
)

// changes is a broker whose topics are meta's.
type changes struct {
	t    *testing.T
	meta *meta.Meta
	ns   *nameServer
	*harness

	mu   sync.Mutex // guards the following
	sent [][]string // the topics of each registration, without the broker's own ones
	all  []bool     // whether it had the broker's own ones
	deaf bool       // registrations are refused
}

func startChanges(t *testing.T) *changes {
	network := memnet.New()
	c := &changes{t: t}
	m, err := meta.Open(meta.Options{FS: vfs.NewMem(), Dir: "/store", ClusterName: "DefaultCluster", BrokerName: "broker-a", AutoCreateTopic: true, DefaultTopicQueueNums: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	c.meta = m
	c.ns = listen(t, network, "", c.see)
	c.harness = start(t, network, func(o *Options) {
		o.Topics, o.ChangedSince = m.Topics.Snapshot, m.Topics.ChangedSince
	}, c.ns.addr)
	c.mustWait()
	return c
}

func (c *changes) see(conn *remoting.Conn, cmd *protocol.Command) bool {
	if cmd.Code != protocol.RegisterBroker {
		return false
	}
	body, err := protocol.DecodeRegisterBrokerBody(cmd.Body, false, protocol.ServerVersion)
	if err != nil {
		c.t.Error(err)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	names := slices.Sorted(maps.Keys(body.Topics.Configs))
	c.all = append(c.all, slices.Contains(names, meta.DefaultTopic))
	c.sent = append(c.sent, slices.DeleteFunc(names, c.meta.Topics.IsSystem))
	if !c.deaf {
		return false
	}
	resp := cmd.Response(protocol.SystemError, "not now")
	if err := conn.Reply(&resp, nil); err != nil {
		c.t.Error(err)
	}
	return true
}

func (c *changes) refuse(all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = all
}

// update makes a topic or changes it.
func (c *changes) update(topic string, perm int32) {
	c.t.Helper()
	if _, err := c.meta.Topics.Update(protocol.TopicConfig{TopicName: topic, ReadQueueNums: 4, WriteQueueNums: 4, Perm: perm}, ""); err != nil {
		c.t.Fatal(err)
	}
}

// take returns what was sent since the last call.
func (c *changes) take() (sent [][]string, all []bool) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	sent, all = c.sent, c.all
	c.sent, c.all = nil, nil
	return sent, all
}

func (c *changes) want(what string, sent [][]string, all ...bool) {
	c.t.Helper()
	gotSent, gotAll := c.take()
	if diff := cmp.Diff(sent, gotSent) + cmp.Diff(all, gotAll); diff != "" {
		c.t.Errorf("%s:\n%s", what, diff)
	}
}

func TestANameServerThatHasTheRestIsSentWhatChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := startChanges(t)
		c.want("at first", [][]string{{}}, true)
		c.update("a", 6)
		c.update("b", 6)
		c.announce()
		c.want("two new topics", [][]string{{"a", "b"}}, false)
		c.announce()
		c.want("nothing new", nil)
		c.update("a", 4)
		c.announce()
		c.want("one that changed", [][]string{{"a"}}, false)
		if r := c.route(c.ns.addr, "a"); r == nil || r.QueueDatas[0].Perm != 4 {
			t.Errorf("the route of a topic that has changed: %+v", r)
		}
		if r := c.route(c.ns.addr, "b"); r == nil {
			t.Error("the other topic has no route any more")
		}
		c.announce("b", "no such topic")
		c.want("one that has not changed", [][]string{{"b"}}, false)
		c.meta.Topics.Delete("a")
		c.update("c", 6)
		c.announce("a")
		c.want("one is gone", [][]string{{"c"}}, false)
		c.meta.Topics.NewVersion()
		c.announce()
		c.want("the broker's permission has changed", [][]string{{"b", "c"}}, true)
		many := make([]string, maxNamed+1)
		c.announce(many...)
		c.want("more named than is remembered", [][]string{{"b", "c"}}, true)
	})
}

func TestAllTopicsAreRegisteredEvery30SecondsHoweverOftenTheyChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := startChanges(t)
		for i := range 91 {
			c.update("a", 2+int32(i%2)*4)
			c.TopicsChanged()
			time.Sleep(time.Second)
		}
		_, all := c.take()
		n := 0
		for _, one := range all {
			if one {
				n++
			}
		}
		if n != 4 || len(all) < 91 {
			t.Errorf("%d of %d registrations in 91 s were of all topics, want the first and one each 30 s", n, len(all))
		}
	})
}

func TestAfterAFailureAllTopicsAreRegistered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := startChanges(t)
		c.take()
		c.refuse(true)
		c.update("a", 6)
		if err := c.Announce(t.Context(), "a"); err == nil {
			t.Error("no error although the registration was refused")
		}
		c.want("refused", [][]string{{"a"}}, false)
		c.refuse(false)
		time.Sleep(2 * time.Second)
		c.want("again", [][]string{{"a"}}, true)
		c.ns.stop()
		next := listen(t, c.net, c.ns.addr, c.see)
		c.update("b", 6)
		time.Sleep(time.Minute)
		if sent, all := c.take(); len(all) == 0 || !all[0] {
			t.Errorf("a name server that has restarted was sent first %v, want all", sent)
		}
		if c.route(next.addr, "a") == nil {
			t.Error("the topic has no route")
		}
	})
}

func (c *changes) announce(topics ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	if err := c.Announce(ctx, topics...); err != nil {
		c.t.Fatal(err)
	}
}
