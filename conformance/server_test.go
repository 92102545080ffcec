package conformance_test

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/conformance/apache"
)

// server is what cases know of a server.
type server struct {
	nameServers []string
	broker      string // its address
	dial        func(ctx context.Context, network, address string) (net.Conn, error)
	levels      []time.Duration // its delay levels, the first at 0
	checkAfter  time.Duration   // the age at which it asks about a half message
	lite        *brokerlite.Broker
	net         *brokerlite.Network // where lite is virtual
	opts        []brokerlite.Option // that lite was started with
}

// level is a delay level of the server, as the broker clamps it.
func (s *server) level(n int) time.Duration { return s.levels[min(n, len(s.levels))-1] }

// Short delay levels let cases that wait for the server end within seconds. The
// default ones run in virtual time.
const (
	shortLevels   = "1s 2s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s"
	defaultLevels = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"
	// shortCheck is how soon servers ask about half messages in real time.
	shortCheck = 2 * time.Second
)

func parseLevels(text string) []time.Duration {
	var levels []time.Duration
	for word := range strings.FieldsSeq(text) {
		d, err := time.ParseDuration(word)
		if err != nil {
			panic(err) // a constant above is wrong
		}
		levels = append(levels, d)
	}
	return levels
}

// startLite starts broker-lite for a test, in a bubble or on loopback.
func startLite(t *testing.T, log *slog.Logger, bubble bool, opts ...brokerlite.Option) *server {
	t.Helper()
	s := &server{levels: parseLevels(defaultLevels), checkAfter: 6 * time.Second}
	// What Apache has by default and broker-lite has not.
	s.opts = []brokerlite.Option{brokerlite.WithLogger(log), brokerlite.Conf("timerMaxDelaySec=259200")}
	if bubble {
		s.net = brokerlite.NewNetwork()
		s.opts = append(s.opts, brokerlite.InMemory(), brokerlite.VirtualNetwork(s.net))
	} else {
		s.levels, s.checkAfter = parseLevels(shortLevels), shortCheck
		s.opts = append(s.opts, brokerlite.Dir(t.TempDir()), brokerlite.Conf("messageDelayLevel="+shortLevels), brokerlite.TransactionChecks(shortCheck, shortCheck))
	}
	s.opts = append(s.opts, opts...)
	b, err := brokerlite.Start(t.Context(), s.opts...)
	if err != nil {
		t.Fatal(err)
	}
	s.use(b)
	t.Cleanup(func() {
		if err := closeLite(s.lite); err != nil {
			t.Error(err)
		}
	})
	return s
}

// use makes b the server; a case that restarts its server does so again.
func (s *server) use(b *brokerlite.Broker) {
	s.lite, s.dial, s.nameServers, s.broker = b, b.Dial, b.NameServers(), b.Addr()
}

func closeLite(b *brokerlite.Broker) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return b.Close(ctx)
}

// startApache starts Apache RocketMQ for a test and those below it.
func startApache(t *testing.T, version string) *server {
	t.Helper()
	a := startApacheWith(t, apache.Options{
		Version: version, TransactionCheck: shortCheck, BrokerConf: map[string]string{"messageDelayLevel": shortLevels, "recallMessageEnable": "true"},
	})
	return &server{
		nameServers: []string{a.NameServer()}, broker: a.BrokerAddr(), dial: new(net.Dialer).DialContext,
		levels: parseLevels(shortLevels), checkAfter: shortCheck,
	}
}

// startApacheWith starts Apache RocketMQ, and stops it with the test.
func startApacheWith(t *testing.T, o apache.Options) *apache.Server {
	t.Helper()
	o.Log = newLog(t)
	return apache.StartFor(t, o)
}

// javaLanes bounds the tests with Apache's servers or clients that are at work.
var javaLanes = make(chan struct{}, 2)

// takeLane holds a test up until fewer than two others have JVMs at work: two cores
// carry no more.
func takeLane(t *testing.T) {
	t.Helper()
	t.Parallel()
	javaLanes <- struct{}{}
	t.Cleanup(func() { <-javaLanes })
}

// inBubble runs f in virtual time.
func inBubble(t *testing.T, f func(*testing.T)) { synctest.Test(t, f) }

// sharedLite starts the server that many cases share, some of which annoy it: it
// logs errors only.
func sharedLite(t *testing.T) *server { return startLite(t, logFrom(t, slog.LevelError), false) }

func TestBrokerLite(t *testing.T) {
	t.Parallel()
	legNamed("broker-lite").run(t, sharedLite)
}

// The cases here compute and do not wait: one after the other they show how little
// time an hour takes. All of RocketMQ's retries take some 2 s with the race detector.
func TestBrokerLiteInVirtualTime(t *testing.T) {
	legNamed("broker-lite in virtual time").run(t, nil)
}

func TestBrokerLiteWithTheClientGoDriver(t *testing.T) {
	needsQuiet(t)
	t.Parallel()
	legNamed("broker-lite, client-go driver").run(t, sharedLite)
}

func needsQuiet(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("left out: rocketmq-client-go races with itself; run without -race")
	}
}

func TestApache540(t *testing.T) {
	apache.Require(t)
	takeLane(t)
	s := startApache(t, apache.V5)
	same := func(*testing.T) *server { return s }
	legNamed("Apache 5.4.0").run(t, same)
	t.Run("client-go_driver", func(t *testing.T) {
		needsQuiet(t)
		t.Parallel()
		legNamed("Apache 5.4.0, client-go driver").run(t, same)
	})
}

func TestApache497(t *testing.T) {
	apache.Require(t)
	takeLane(t)
	legNamed("Apache 4.9.7").run(t, func(t *testing.T) *server { return startApache(t, apache.V4) })
}

func TestCasesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	var names []string
	for _, c := range cases() {
		if c.name == "" || c.about == "" || c.run == nil || slices.Contains(names, c.name) {
			t.Errorf("case %q (%s): no name, no description, no function or the name of another", c.name, c.about)
		}
		applies := slices.ContainsFunc(legs(), func(l *leg) bool { return l.lacks(c) == 0 })
		if !applies {
			t.Errorf("case %q runs nowhere", c.name)
		}
		names = append(names, c.name)
	}
}
