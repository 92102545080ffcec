//go:build unix && soak

package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

const (
	// failoverQueues is how many queues a broker has of each topic.
	failoverQueues = 2
)

// TestFailoverOnApache kills the parts of a cluster under load: two masters with a
// slave each, which they wait for, and two name servers.
func TestFailoverOnApache(t *testing.T) {
	apache.Require(t)
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			log := newLog(t)
			s := &stand{T: t, leg: legNamed("Apache " + version), c: testCase{name: "failover"}, server: &server{dial: new(net.Dialer).DialContext}, log: log}
			newFailover(s, version).run()
		})
	}
}

// replicas is a cluster of two masters with a slave each.
type replicas struct {
	*stand
	version string
	names   []*apache.Server
	brokers map[string]*apache.Server // by name and id: "a0" is a master, "a1" its slave
	dirs    map[string]string
	topic   string
	client  *rocketkit.Client

	mu    sync.Mutex // guards the following
	acked map[string]bool
	seen  map[string]bool // by the group that is there all the time
	fails int
}

func newFailover(s *stand, version string) *replicas {
	s.Helper()
	r := &replicas{stand: s, version: version, brokers: map[string]*apache.Server{}, dirs: map[string]string{}, acked: map[string]bool{}, seen: map[string]bool{}}
	for range 2 {
		n := startApacheWith(s.T, apache.Options{Version: version, Role: apache.RoleNameServer})
		r.names = append(r.names, n)
		s.server.nameServers = append(s.server.nameServers, n.NameServer())
	}
	for _, b := range []string{"a0", "a1", "b0", "b1"} {
		r.dirs[b] = s.TempDir()
		r.start(b)
	}
	r.topic = s.newTopic()
	r.make(r.topic)
	r.client = s.open()
	return r
}

// start starts a broker on its directory. It gets other ports than before.
func (r *replicas) start(b string) {
	r.Helper()
	names := slices.Clone(r.server.nameServers)
	slices.Reverse(names) // the last is never killed
	role := "SYNC_MASTER"
	if b[1] != '0' {
		role = "SLAVE"
	}
	conf := map[string]string{
		"brokerName": "broker-" + b[:1], "brokerId": b[1:], "brokerRole": role, "slaveReadEnable": "true",
		"mappedFileSizeCommitLog": strconv.Itoa(64 << 20), "autoCreateTopicEnable": "false",
	}
	if r.version == apache.V5 {
		conf["inSyncReplicas"] = "2"
	}
	r.brokers[b] = startApacheWith(r.T, apache.Options{
		Version: r.version, Dir: r.dirs[b], Role: apache.RoleBroker, NameServer: strings.Join(names, ";"), BrokerConf: conf,
		JVM: []string{"-Xms256m", "-Xmx512m", "-XX:MaxDirectMemorySize=512m", "-XX:TieredStopAtLevel=1"},
	})
}

func (r *replicas) kill(s *apache.Server, what string) {
	r.Helper()
	if err := s.Kill(); err != nil {
		r.Fatal(err)
	}
	r.Logf("killed %s", what)
}

// slaveLimit is how long a slave may take to learn its master's topics: 5.4.0 asks
// for them every 60 to 70 s.
const slaveLimit = 2 * time.Minute

// make makes topics on both pairs, and waits until the slaves know them.
func (r *replicas) make(topics ...string) {
	r.Helper()
	for _, topic := range topics {
		for _, b := range []string{"a0", "b0"} {
			r.server.broker = r.brokers[b].BrokerAddr()
			r.createTopic(topic, failoverQueues)
		}
	}
	for _, topic := range topics {
		for _, b := range []string{"a1", "b1"} {
			r.before(slaveLimit, "slave "+b+" knows topic "+topic, func() bool {
				return bytes.Contains(r.ask(r.brokers[b].BrokerAddr(), 21, nil).body, []byte(`"`+topic+`"`)) // GET_ALL_TOPIC_CONFIG
			})
		}
		for _, names := range r.server.nameServers {
			r.eventually("both brokers have topic "+topic, func() bool {
				return bytes.Count(r.ask(names, codeRoute, map[string]string{"topic": topic}).body, []byte(`"readQueueNums"`)) == 2
			})
		}
	}
}

// on chooses a queue of a broker.
func on(broker string, id int) producer.QueueSelector {
	return func(_ *message.Message, queues []message.Queue) int {
		return slices.IndexFunc(queues, func(q message.Queue) bool { return q.Broker == broker && q.ID == id })
	}
}

// load sends all the time, to any queue.
func (r *replicas) load() {
	r.Helper()
	p := r.producer(r.client, producer.AttemptTimeout(5*time.Second))
	ctx, stop := context.WithCancel(r.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				res, err := p.Send(context.WithoutCancel(ctx), message.New(r.topic, []byte("load")))
				r.mu.Lock()
				if err == nil {
					r.acked[res.MessageID] = true
				} else {
					r.fails++
				}
				r.mu.Unlock()
				r.quiet(5 * time.Millisecond)
			}
		})
	}
	r.Cleanup(func() { stop(); all.Wait() })
}

// follow starts the group that is there all the time.
func (r *replicas) follow() {
	r.Helper()
	mux := r.mux(r.group())
	consumer.HandleRaw(mux, r.topic, func(_ context.Context, d *message.Delivery) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen[d.ID] = true
		return nil
	})
	r.stand.start(r.open(), mux)
}

// goesOn waits until that many more sends succeed, and what was acknowledged by then is received.
func (r *replicas) goesOn(what string, more int, received bool) {
	r.Helper()
	count := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.acked)
	}
	r.mu.Lock()
	failed := r.fails
	r.mu.Unlock()
	begun, next := time.Now(), count()+more
	r.eventually(what+": sends go on", func() bool { return count() >= next })
	r.mu.Lock()
	ids := make([]string, 0, len(r.acked))
	for id := range r.acked {
		ids = append(ids, id)
	}
	failed = r.fails - failed
	r.mu.Unlock()
	r.Logf("%s: %d more are acknowledged after %s, %d in all; %d sends failed", what, more, time.Since(begun).Round(time.Millisecond), len(ids), failed)
	if received {
		r.hasAll(what+": what was acknowledged is received", ids, r.seen)
		r.Logf("%s: and received after %s", what, time.Since(begun).Round(time.Millisecond))
	}
}

// hasAll waits until a group has had the messages.
func (r *replicas) hasAll(what string, ids []string, seen map[string]bool) {
	r.Helper()
	missing := func() (n int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, id := range ids {
			if !seen[id] {
				n++
			}
		}
		return n
	}
	for limit := time.Now().Add(3 * time.Minute); missing() > 0; r.quiet(100 * time.Millisecond) {
		if time.Now().After(limit) {
			r.Fatalf("%s: %d of %d are missing", what, missing(), len(ids))
		}
	}
}

// run goes through what may fail.
func (r *replicas) run() {
	r.follow()
	r.load()
	r.goesOn("all are there", 500, true)

	r.kill(r.names[0], "a name server")
	r.server.nameServers = r.server.nameServers[1:]
	r.goesOn("without a name server", 500, true)

	r.stalledSlave()
	r.lostSlave()
	r.lostMaster()

	r.kill(r.brokers["a0"], "a master")
	r.kill(r.brokers["a1"], "and its slave")
	r.goesOn("without a pair", 500, false)
	r.start("a0")
	r.start("a1")
	r.goesOn("the pair is back", 500, true)
}

// status sends to broker-b until the status is that one.
func (r *replicas) status(what string, want message.Status) {
	r.Helper()
	p := r.producer(r.client, producer.Select(on("broker-b", 0)), producer.Retries(0))
	var last string
	begun := time.Now()
	for limit := begun.Add(r.limit()); ; r.quiet(200 * time.Millisecond) {
		res, err := p.Send(r.soon(), message.New(r.topic, []byte("status")))
		if err == nil && res.Status == want {
			r.Logf("%s: %v after %s", what, res.Status, time.Since(begun).Round(time.Millisecond))
			return
		}
		if got := fmt.Sprintf("%v, %v", res.Status, err); got != last {
			r.Logf("%s: %s", what, got)
			last = got
		}
		if time.Now().After(limit) {
			r.Fatalf("%s: %s, want %v", what, last, want)
		}
	}
}

// stalledSlave stops a slave that its master waits for.
func (r *replicas) stalledSlave() {
	r.Helper()
	pid := r.brokers["b1"].PIDs()[0]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		r.Fatal(err)
	}
	r.status("a slave stands still", message.FlushSlaveTimeout)
	p := r.producer(r.client, producer.Select(on("broker-b", 0)), producer.RequireDurable())
	_, err := p.Send(r.soon(), message.New(r.topic, []byte("durable")))
	var weak *producer.NotDurableError
	if !errors.As(err, &weak) || weak.Result.Status != message.FlushSlaveTimeout {
		r.Errorf("a message that must be durable: %v, want a NotDurableError with FLUSH_SLAVE_TIMEOUT", err)
	}
	r.goesOn("a slave stands still", 20, false)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		r.Fatal(err)
	}
	r.status("the slave goes on", message.SendOK)
}

// lostSlave kills a slave: 4.9.7 answers at once, 5.4.0 after it has waited for 3 s.
func (r *replicas) lostSlave() {
	r.Helper()
	r.kill(r.brokers["b1"], "a slave")
	want := message.SlaveNotAvailable
	if r.version == apache.V5 {
		want = message.FlushSlaveTimeout
	}
	r.status("a slave is lost", want)
	r.goesOn("without a slave", 20, true)
	r.start("b1")
	r.status("the slave is back", message.SendOK)
}

// ordered is a topic whose keys are its queues, with a diary of an ordered group.
type ordered struct {
	*replicas
	topic string
	di    *diary
	sent  map[string]int      // by key
	ids   map[string][]string // of messages, by broker
}

func (r *replicas) ordered() *ordered {
	return &ordered{replicas: r, topic: r.newTopic(), di: r.diary(), sent: map[string]int{}, ids: map[string][]string{}}
}

// send stores n more messages in each queue of a broker.
func (o *ordered) send(broker string, n int) {
	o.Helper()
	for q := range failoverQueues {
		key := fmt.Sprint(broker, " ", q)
		p := o.producer(o.client, producer.ToQueue(message.Queue{Topic: o.topic, Broker: broker, ID: q}))
		for range n {
			m := message.New(o.topic, fmt.Append(nil, o.sent[key]), message.ShardingKey(key))
			var res message.SendResult
			o.eventually("a send to "+key, func() bool { // its client learns within 30 s that a broker is back
				var err error
				if res, err = p.Send(o.soon(), m); err != nil && !message.SafeToRetry(err) {
					o.Fatal(err)
				}
				return err == nil
			})
			if res.Status != message.SendOK {
				o.Fatalf("%v", res)
			}
			o.sent[key]++
			o.ids[broker] = append(o.ids[broker], res.MessageID)
		}
	}
}

// follow starts an ordered group that writes the diary.
func (o *ordered) follow() {
	o.Helper()
	mux := o.mux(o.group(), consumer.Ordered())
	consumer.HandleRaw(mux, o.topic, o.di.handler(queueOf, nil))
	o.stand.start(o.open(), mux)
}

// handled waits until all that was sent to a broker is handled in order, and returns
// how often an earlier message followed: from the offset that the master wrote down
// before it died.
func (o *ordered) handled(broker string) (back int) {
	o.Helper()
	for q := range failoverQueues {
		key := fmt.Sprint(broker, " ", q)
		last := fmt.Sprint(o.sent[key]-1, "/0")
		o.eventually("all of key "+key+" is handled", func() bool { return slices.Contains(o.story(key), last) })
		next := 0
		for _, entry := range o.story(key) {
			var n, attempt int
			if _, err := fmt.Sscanf(entry, "%d/%d", &n, &attempt); err != nil || attempt != 0 || n > next {
				o.Fatalf("key %s: %q where %d is due: %v", key, entry, next, o.story(key))
			}
			if n < next {
				back++
			}
			next = n + 1
		}
	}
	return back
}

// handledOnce is handled, and nothing comes again.
func (o *ordered) handledOnce(broker string) {
	o.Helper()
	if back := o.handled(broker); back > 0 {
		o.Errorf("%s: messages come again: %v", broker, o.di.wait(0))
	}
}

func (o *ordered) story(key string) []string {
	o.di.mu.Lock()
	defer o.di.mu.Unlock()
	return slices.Clone(o.di.story[key])
}

// lostMaster kills a master: its slave is read from, and order waits for it, in a group
// that is at work and in one that comes later.
func (r *replicas) lostMaster() {
	r.Helper()
	const each = 20
	atWork, later := r.ordered(), r.ordered()
	r.make(atWork.topic, later.topic)
	atWork.follow()
	for _, broker := range []string{"broker-a", "broker-b"} {
		later.send(broker, each)
		atWork.send(broker, each)
		atWork.handledOnce(broker)
	}
	r.kill(r.brokers["a0"], "a master")
	atWork.send("broker-b", each)
	atWork.handledOnce("broker-b")
	r.goesOn("without a master", 500, true)
	in := r.receive(r.open(), later.topic)
	got := in.ids(2 * failoverQueues * each)
	for _, id := range slices.Concat(later.ids["broker-a"], later.ids["broker-b"]) {
		if got[id] == nil {
			r.Errorf("without a master: %s was acknowledged and is lost", id)
		}
	}
	r.Logf("without a master: a new group has read from its slave")

	later.follow()
	later.handledOnce("broker-b")
	for q := range failoverQueues {
		if story := later.story(fmt.Sprint("broker-a ", q)); len(story) > 0 {
			r.Errorf("queue %d of broker-a was handled without a lock: %v", q, story)
		}
	}
	r.start("a0")
	later.handledOnce("broker-a")
	atWork.send("broker-a", each)
	back := atWork.handled("broker-a")
	r.Logf("the master is back: its ordered queues go on, %d times from an earlier offset", back)
	r.goesOn("the master is back", 500, true)
}
