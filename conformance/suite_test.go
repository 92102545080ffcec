package conformance_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

// testCase is one case, written once for all legs.
type testCase struct {
	name  string // of the subtest
	about string // for the table: what holds
	run   func(*stand)
	needs feature
	// opts start a broker-lite for this case alone.
	opts []brokerlite.Option
}

func (c testCase) needed() feature {
	if c.opts != nil {
		return c.needs | ownServer
	}
	return c.needs
}

// feature is what a case needs and a leg may not have.
type feature uint

const (
	timers       feature = 1 << iota // a server with timer messages, and a driver that uses them
	noTimers                         // the opposite
	transactions                     // half messages
	exactRetries                     // retry.After to the second
	roundedRetries
	dialling     // the driver connects as the case says
	ownServer    // a server for the case alone
	realTime     // hours may not pass in an instant
	virtualTime  // they may
	patience     // a quarter of a minute and more, unless time is virtual
	faults       // a server that misbehaves when it is told to
	v5           // a rule of 5.x
	lostConns    // a driver that notices a lost connection
	sendBacks    // a driver that reads the answer to a send-back
	packings     // a driver that knows LZ4 and Zstandard
	noPackings   // the opposite
	sqlFilters   // a driver that subscribes by expressions
	orderedAsync // asynchronous sends keep their order
	queueLocks   // a driver that locks queues to consume them in order
	noQueueLocks // the opposite
	broadcasts   // a driver that keeps a broadcast group's offsets
	plainACL     // a server that reads plain_acl.yml
	pulls        // a driver that pulls and commits as it is told
	pops         // a server that knows POP, and a driver that uses it
	noPops       // the opposite
	requests     // a driver that takes replies
	promptResets // a driver that goes on at once where its group was moved to
	endpoints    // a driver that asks an HTTP endpoint for name servers
	fromTimes    // a driver that begins young queues at a time
	newQueues    // a driver that soon finds the queues that a topic gets
	admins       // package admin is tried
	vipChannel   // a driver that sends by the VIP channel
	noVIPChannel // the opposite
)

// missing says why a leg cannot run a case, for the table.
var missing = []struct {
	feature
	why string
}{
	{virtualTime, "needs virtual time"},
	{realTime, "needs real time and a real network"},
	{ownServer, "needs a server of its own, which it configures, restarts or breaks"},
	{dialling, "the driver opens its own connections"},
	{transactions, "the driver has no transactions"},
	{timers, "no timer messages: servers have them from 5.0 on, rocketmq-client-go has not"},
	{noTimers, "only where there are no timer messages"},
	{exactRetries, "no exact retry delays: they are timer messages"},
	{roundedRetries, "only where there are no exact retry delays"},
	{patience, "takes long: runs in virtual time, and on Apache with short levels"},
	{faults, "needs a server that misbehaves when it is told to"},
	{v5, "4.9 has another rule"},
	{lostConns, "the driver notices a lost connection 30 s later"},
	{packings, "the driver knows zlib only"},
	{noPackings, "the driver knows every kind"},
	{pops, "no POP: servers have it from 5.0 on, rocketmq-client-go not on this protocol"},
	{noPops, "there is POP"},
	{requests, "the driver takes no replies"},
	{promptResets, "the driver goes on half a minute after its group was moved"},
	{pulls, "the driver does not pull or commit as it is told"},
	{sqlFilters, "the driver does not pull by expressions"},
	{orderedAsync, "needs a server that stores the requests of a connection in their order, and a driver that writes them so"},
	{plainACL, "5.x has users and ACLs of another kind"},
	{noQueueLocks, "the driver consumes in order, and broadcasts"},
	{broadcasts, "the driver refuses to broadcast: rocketmq-client-go blocks on a failure and loses its offsets"},
	{queueLocks, "the driver refuses to consume in order: rocketmq-client-go does not notice a lost lock"},
	{sendBacks, "the driver does not read the answer to a send-back"},
	{endpoints, "the driver refuses endpoints: rocketmq-client-go keeps what they answer in a file that all clients share"},
	{fromTimes, "the driver begins young queues at their start: rocketmq-client-go takes a broker's 0 for an offset that the group has"},
	{admins, "package admin does not go by the driver: see the column of the same server with the native one"},
	{newQueues, "the driver takes up to 50 s to find the queues that a topic gets"},
	{vipChannel, "the driver's option for the VIP channel does nothing, and is refused"},
	{noVIPChannel, "the driver sends by the VIP channel"},
}

func (f feature) String() string {
	for _, m := range missing {
		if f&m.feature != 0 {
			return m.why
		}
	}
	return ""
}

// leg is a server and a driver.
type leg struct {
	name   string // of the table's column
	driver string
	has    feature
	bubble bool // cases run in virtual time
	atOnce int  // cases that run at the same time at most; 0 for any number
}

// lacks is what a case needs and the leg has not.
func (l *leg) lacks(c testCase) feature { return c.needed() &^ l.has }

// run runs the cases that apply, on one server or, where they ask for one, their
// own; at the same time unless time is virtual.
func (l *leg) run(t *testing.T, shared func(*testing.T) *server) {
	var s *server
	if shared != nil {
		s = shared(t)
	}
	places := make(chan struct{}, cmp.Or(l.atOnce, len(cases())))
	for _, c := range cases() {
		if l.lacks(c) != 0 {
			continue
		}
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			results.track(t, sdkTable, l.name, c.name)
			if l.bubble {
				inBubble(t, func(t *testing.T) { l.one(t, c, nil) })
				return
			}
			t.Parallel()
			places <- struct{}{}
			defer func() { <-places }()
			l.one(t, c, s)
		})
	}
}

// one runs one case; without a shared server it starts one.
func (l *leg) one(t *testing.T, c testCase, shared *server) {
	s := &stand{T: t, leg: l, c: c, server: shared, log: newLog(t)}
	if s.server == nil || c.opts != nil {
		s.server = startLite(s.T, s.log, l.bubble, c.opts...)
	}
	c.run(s)
}

// native is what the native driver adds to any server.
const native = admins | newQueues | fromTimes | endpoints | promptResets | requests | pulls | transactions | dialling | sendBacks | lostConns | packings | sqlFilters | queueLocks | broadcasts | vipChannel

func legs() []*leg {
	return []*leg{
		{name: "broker-lite", driver: "native", has: plainACL | native | orderedAsync | v5 | pops | timers | exactRetries | ownServer | faults | realTime},
		{name: "broker-lite in virtual time", driver: "native", has: plainACL | native | orderedAsync | v5 | pops | timers | exactRetries | ownServer | faults | virtualTime | patience, bubble: true},
		{name: "broker-lite, client-go driver", driver: "rocketmq-client-go", has: admins | noVIPChannel | noQueueLocks | plainACL | v5 | noTimers | noPops | noPackings | roundedRetries | ownServer | faults | realTime},
		{name: "Apache 5.4.0", driver: "native", has: native | v5 | pops | timers | exactRetries | realTime | patience},
		{name: "Apache 5.4.0, client-go driver", driver: "rocketmq-client-go", has: noVIPChannel | noQueueLocks | v5 | noTimers | noPops | noPackings | roundedRetries | realTime | patience, atOnce: 12},
		{name: "Apache 4.9.7", driver: "native", has: plainACL | native | noTimers | noPops | roundedRetries | realTime | patience},
	}
}

func legNamed(name string) *leg {
	all := legs()
	return all[slices.IndexFunc(all, func(l *leg) bool { return l.name == name })]
}
